"""Torch: one compiled `flex_attention`, and the BlockMask that it gets."""

import inspect
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.nn.attention import flex_attention as flex
from maskkit import Mask, Problem
from maskkit_kernel_flex._forms import BLOCK, blocks_of

_NARROWEST = 16
"""What Triton multiplies is no narrower."""
_KINDS = 256
"""Kinds of calls that are compiled: numbers of intervals, dtypes, heads and widths, scales, with gradients or not."""
_made: WeakKeyDictionary[Mask, dict[Any, Any]] = WeakKeyDictionary()


def lacking() -> str:
    """What is not there, of what must be; empty where all is."""
    if not hasattr(flex, "AuxRequest"):
        return f"it needs FlexAttention with AuxRequest, which Torch {torch.__version__} has not; install Torch 2.9"
    return "" if find_spec("triton") else "FlexAttention compiles for CUDA with Triton; pip install triton"


def attend(query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
    query, key, value = (
        x if x.shape[-1] >= _NARROWEST else torch.nn.functional.pad(x, (0, _NARROWEST - x.shape[-1]))
        for x in (query, key, value)
    )
    block_mask = None if mask is None else _made_once(mask, query.device, problem)
    out, lse = _compiled()(query, key, value, block_mask, str(problem.factor), problem.return_lse)
    out = out[..., : problem.value_dim]
    return (out, lse) if problem.return_lse else out


@cache
def _compiled() -> Callable[..., Any]:
    """The call. As one graph, so that Torch raises rather than computing all scores where it does not compile."""
    more: dict[str, Any] = {}
    if "isolate_recompiles" in inspect.signature(torch.compile).parameters:  # else Torch's own limit of 8 holds
        more = dict(recompile_limit=_KINDS, isolate_recompiles=True)
    return torch.compile(_call, fullgraph=True, **more)


def _call(query: Any, key: Any, value: Any, block_mask: Any, scale: str, with_lse: bool) -> tuple[Any, Any]:
    """The scale is text, which Torch takes for a constant; of a second number it makes an input of the kernel."""
    out, aux = flex.flex_attention(
        query,
        key,
        value,
        block_mask=block_mask,
        scale=float(scale),
        enable_gqa=query.shape[1] != key.shape[1],
        return_aux=flex.AuxRequest(lse=with_lse),
    )
    return out, aux.lse


def _made_once(mask: Mask, device: Any, problem: Problem) -> Any:
    """The BlockMask of a mask on a device, made once while the mask lives."""
    kept = _made.setdefault(mask, {})
    if device not in kept:
        kept[device] = _block_mask(mask, device, problem)
    return kept[device]


def _block_mask(mask: Any, device: Any, problem: Problem) -> Any:
    """That of `to_flex`, whose function compares with the ends of intervals; or one that looks up in booleans."""
    found, blocks = mask.to_flex(BLOCK, device), blocks_of(problem)
    if blocks is not None and blocks.booleans:
        allowed = mask.allowed("torch", "bool", device, form="heads")
        found.mask_mod = _looked_up(allowed.flatten(0, 1), *allowed.shape[:2])
    return found


def _looked_up(allowed: torch.Tensor, batch: int, heads: int) -> Callable[..., Any]:
    batched, by_head = batch > 1, heads > 1

    def mask_mod(b: Any, h: Any, q: Any, kv: Any) -> Any:
        plane = b * heads + h if batched and by_head else b if batched else h if by_head else 0
        return allowed[plane, q, kv]

    return mask_mod
