"""The trainer: one process, CPU or GPU (paper section 2.3, appendix D)."""
