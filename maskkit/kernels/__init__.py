"""Attention under a mask: the problem, the plan that picks a kernel for it, and `attend`."""
