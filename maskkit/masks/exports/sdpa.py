"""Torch: `scaled_dot_product_attention(query, key, value, attn_mask=mask)` with a mask value."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from maskkit.errors import ConfigError
from maskkit.masks import exports
from maskkit.masks.axes import with_heads
from maskkit.masks.dense import array
from maskkit.masks.exports.fits import is_causal
from maskkit.masks.pattern import Pattern

_PARAMETERS = ("query", "key", "value", "attn_mask", "dropout_p", "is_causal")
"""Those of `scaled_dot_product_attention` that may be given by position."""
_made: WeakKeyDictionary[Pattern, dict[str, Any]] = WeakKeyDictionary()
"""For as long as a mask lives, what the call gets for it on a device."""


def call_with_mask(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run `scaled_dot_product_attention` under a mask: by the cheapest installed kernel, else under booleans.

    Refuses other functions.
    """
    if func is not torch.nn.functional.scaled_dot_product_attention:
        name = getattr(func, "__name__", str(func))
        raise TypeError(
            f"torch's {name} does not know what a mask's True means; "
            'give it mask.allowed("torch") or mask.blocked("torch"), whichever it expects'
        )
    given = {**dict(zip(_PARAMETERS, args, strict=False)), **kwargs}
    mask, query = given["attn_mask"], given["query"]
    if torch._C._are_functorch_transforms_active():
        return func(**{**given, "attn_mask": with_heads(mask, mask.allowed("torch", "bool", query.device))})
    if exports.attention is not None and (out := exports.attention(**given)) is not None:
        return out
    alone = (query.shape[-2], given["key"].shape[-2]) == mask.shape and not given.get("is_causal")
    allowed, causal = _form(mask, str(query.device), alone)
    if allowed is not None and query.ndim < 4 and len(mask.shape) == 2:
        allowed = allowed[0, 0]
    return func(**{**given, "attn_mask": allowed, **({"is_causal": True} if causal else {})})


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _form(mask: Pattern, device: str, alone: bool) -> tuple[torch.Tensor | None, bool]:
    """Booleans (batch, head, query, key) on a device; None and the causal flag where that is the mask and may stand
    alone."""
    made = _made.setdefault(mask, {})
    if "causal" not in made:
        made["causal"] = _is_causal(mask)
    if alone and made["causal"]:
        return None, True
    if device not in made:
        made[device] = with_heads(mask, _allowed(mask, device))
    return made[device], False


def _is_causal(mask: Pattern) -> bool:
    try:
        return mask.intervals == 1 and is_causal(mask)
    except ConfigError:
        return False


def _allowed(mask: Pattern, device: Any) -> Any:
    return array(mask, "torch", "bool", device, on=1, off=0)
