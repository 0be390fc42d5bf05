"""Torch: `scaled_dot_product_attention`."""

from typing import Any

import torch
from maskkit import Mask, Problem
from maskkit_kernel_dense._forms import form_of, made_once


def attend(query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> torch.Tensor:
    form = form_of(problem)
    allowed, sees = None, None
    if form == "booleans" and mask is not None:
        allowed, sees = _in_graph(query, problem.remember()) if problem.traced else _booleans(mask, query.device)
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
    out = out if sees is None else torch.where(sees, out, 0)
    if problem.return_lse:  # of empty arrays alone
        return out, out.new_full(out.shape[:3], -torch.inf, dtype=torch.promote_types(out.dtype, torch.float32))
    return out


def _booleans(mask: Mask, device: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """What is allowed, with rows that allow nothing opened, and which rows those are not, None if all do.

    Kernels differ in what they give for such a row; opened it is finite, and then set to zero.
    """
    return made_once(mask, device, lambda: _make(mask, device))


def _make(mask: Mask, device: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    allowed = mask.allowed("torch", "bool", device, form="heads")
    sees = allowed.any(-1, keepdim=True)
    return (allowed, None) if mask.on_host and bool(sees.all()) else (allowed | ~sees, sees)


@torch.library.custom_op("maskkit_kernel_dense::booleans", mutates_args=())
def _in_graph(query: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The booleans as an operator of a graph, which then does not hold them; copied, for it may write over them."""
    mask = Problem.remembered(name).mask
    assert mask is not None
    allowed, sees = _booleans(mask, query.device)
    return allowed.clone(), torch.ones_like(allowed[..., :1]) if sees is None else sees.clone()


@_in_graph.register_fake
def _(query: torch.Tensor, name: str) -> tuple[torch.Tensor, torch.Tensor]:
    mask = Problem.remembered(name).mask
    assert mask is not None
    sizes = dict(zip(mask.axes, mask.shape, strict=True))
    shape = [sizes.get(axis, 1) for axis in ("batch", "head", "query", "key")]
    return query.new_empty(shape, dtype=torch.bool), query.new_empty([*shape[:3], 1], dtype=torch.bool)
