"""Exact forms of a mask for other libraries."""

from collections.abc import Callable
from typing import Any

attention: Callable[..., Any] | None = None
"""How attention under a mask is computed, for those who are handed a mask by a library: set by the package `maskkit`,
which knows the kernels, as nothing here does. Takes the arguments of `scaled_dot_product_attention`; None if none fits.
"""

write: Callable[..., None] | None = None
"""How a mask is written to a file: set by the package `maskkit` too, as what is saved names plugins. Takes a path, the
mask, its picture, and whether that is of the complement."""
