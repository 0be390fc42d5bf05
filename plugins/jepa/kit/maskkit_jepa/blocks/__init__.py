"""Blocks of tokens: which sizes, where they fit, and how they are drawn."""
