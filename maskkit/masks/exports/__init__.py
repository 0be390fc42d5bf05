"""Exact forms of a mask for other libraries."""
