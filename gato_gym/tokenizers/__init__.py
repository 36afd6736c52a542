"""Everything becomes tokens here (paper section 2.1, appendix B): numpy only, no torch.

`timestep.StepTokenizer` is the one copy of tokenisation that training and acting share.
"""
