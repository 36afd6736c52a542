"""The network: a decoder over one sequence of everything (paper sections 2.2, 2.3, appendix C)."""
