"""JAX: `jax.nn.dot_product_attention`."""

from typing import Any

import jax
import numpy as np
from maskkit import Mask, Problem
from maskkit_kernel_dense._forms import form_of, made_once


def attend(query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
    form = form_of(problem)
    allowed, sees = None, None
    if form == "booleans" and mask is not None:
        allowed, sees = made_once(mask, "numpy", lambda: _booleans(mask))
    query, key, value = (array.swapaxes(1, 2) for array in (query, key, value))  # JAX has (B, T, H, D)
    out = jax.nn.dot_product_attention(
        query, key, value, mask=allowed, scale=problem.scale, is_causal=form == "causal"
    ).swapaxes(1, 2)
    out = out if sees is None else jax.numpy.where(sees, out, 0)
    if problem.return_lse:  # of empty arrays alone
        return out, jax.numpy.full(out.shape[:3], -jax.numpy.inf, jax.numpy.promote_types(out.dtype, "float32"))
    return out


def _booleans(mask: Mask) -> tuple[Any, Any]:
    """What is allowed, with rows that allow nothing opened (JAX makes them uniform, then they are set to zero).

    NumPy's, since an array that is made while JAX traces must not be kept.
    """
    if not mask.on_host:
        allowed = mask.allowed("jax", "bool", form="heads")
        sees = allowed.any(-1, keepdims=True)
        return allowed | ~sees, sees
    allowed = mask.allowed(dtype="bool", form="heads")
    sees = allowed.any(-1, keepdims=True)
    return (allowed, None) if sees.all() else (np.logical_or(allowed, ~sees), sees)
