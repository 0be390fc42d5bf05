"""Torch: `scaled_dot_product_attention(query, key, value, attn_mask=mask)` with a mask value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from maskkit.masks.axes import with_heads
from maskkit.masks.dense import array
from maskkit.masks.pattern import Pattern


def call_with_mask(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `scaled_dot_product_attention` with the mask as booleans on the query's device; refuse other functions."""
    if func is not torch.nn.functional.scaled_dot_product_attention:
        name = getattr(func, "__name__", str(func))
        raise TypeError(
            f"torch's {name} does not know what a mask's True means; "
            'give it mask.allowed("torch") or mask.blocked("torch"), whichever it expects'
        )
    device = (args[0] if args else kwargs["query"]).device
    return func(
        *(_as_tensor(value, device) for value in args),
        **{name: _as_tensor(value, device) for name, value in kwargs.items()},
    )


def _as_tensor(value: Any, device: Any) -> Any:
    """Masks as booleans (batch, head, query, key), with 1 where they have no such axis; everything else as it is."""
    return with_heads(value, allowed_on(value, device)) if isinstance(value, Pattern) else value


def allowed_on(mask: Pattern, device: Any) -> torch.Tensor:
    """What a mask allows, as booleans on a device; eager, and while compiling."""
    tensor: torch.Tensor = _constant(mask, str(device)) if mask.on_host else _allowed(mask, device)
    return tensor


def _allowed(mask: Pattern, device: Any) -> Any:
    return array(mask, "torch", "bool", device, on=1, off=0)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _constant(mask: Pattern, device: str) -> Any:
    """The booleans; while compiling they are a constant of the graph, and nothing of ours is traced."""
    return _allowed(mask, device)
