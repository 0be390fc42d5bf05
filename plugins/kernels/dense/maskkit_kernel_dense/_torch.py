"""Torch: `scaled_dot_product_attention`."""

from typing import Any

import torch
from maskkit import Mask, Problem
from maskkit_kernel_dense._forms import form_of, made_once


def attend(query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> torch.Tensor:
    form = form_of(problem)
    allowed, sees = None, None
    if form == "booleans" and mask is not None:
        allowed, sees = made_once(mask, query.device, lambda: _booleans(mask, query.device))
    out = torch.nn.functional.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=allowed,
        dropout_p=problem.dropout_p,
        is_causal=form == "causal",
        scale=problem.scale,
        enable_gqa=problem.heads != problem.kv_heads,
    )
    return out if sees is None else torch.where(sees, out, 0)


def _booleans(mask: Mask, device: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What is allowed, with rows that allow nothing opened, and which rows those are not.

    Kernels differ in what they give for such a row; opened it is finite, and then set to zero.
    """
    allowed = mask.allowed("torch", "bool", device, form="heads")
    sees = allowed.any(-1, keepdim=True)
    if mask.on_host and bool(sees.all()):
        return allowed, None
    return allowed | ~sees, sees
