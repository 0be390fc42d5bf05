"""Forms of other libraries, exact or refused: those with a name, and which cheap ones a mask has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from maskkit.errors import ConfigError, MaskkitError, NoFit
from maskkit.masks.axes import check_attention
from maskkit.masks.exports.varlen import Varlen, check_intervals, cu_seqlens, row_intervals
from maskkit.masks.pattern import Pattern
from maskkit.registry.extensions import extension
from maskkit.registry.hookspecs import Exporter
from maskkit.registry.loader import registry

# -- by name; a plugin adds more through the hook `maskkit_backends` --------------------------------------------------


class Flex:
    """The `BlockMask` of Torch's FlexAttention. Options: block_size (128), device."""

    name = "flex"

    def export(self, mask: Pattern, block_size: int = 128, device: Any = None) -> Any:
        """As `mask.to_flex`."""
        check_attention(mask)
        from maskkit.masks.exports.flex import block_mask  # it imports Torch

        return block_mask(mask, block_size, device)


BUILT_IN: dict[str, Exporter] = {found.name: found for found in (Flex(), Varlen())}


def exporter(name: str) -> Exporter:
    """The exporter of this name.

    Raises:
        ConfigError: there is none.
    """
    return BUILT_IN.get(name) or extension(name, "form", "export", BUILT_IN)


def forms(mask: Pattern) -> dict[str, Any]:
    """Every installed form -> True, or a `NoFit` with the reason why it does not hold the mask."""
    names = [*BUILT_IN, *sorted(found.name for found in registry.backends() if hasattr(found, "export"))]
    found: dict[str, Any] = {}
    for name in names:
        try:
            exporter(name).export(mask)
            found[name] = True
        except (MaskkitError, ImportError) as error:
            found[name] = NoFit(str(error))
    return found


# -- those that cost little: a causal flag, a window, packed documents ------------------------------------------------


def fits(mask: Pattern) -> dict[str, Any]:
    """Form -> its value, or a `NoFit`.

    Forms:
        is_causal: True; for `is_causal=True` of `scaled_dot_product_attention`, of as many queries as keys.
        window: (left, right), keys seen before and after the query, -1 for all; as FlashAttention's `window_size`, for
            which the last query stands at the last key where they differ in number.
        cu_seqlens: where documents begin, of as many queries as keys, in one row.
        causal_cu_seqlens: the same, for documents that are causal inside.
        varlen: what `export("varlen")` gives, the arguments of FlashAttention's variable-length functions: also for
            queries unlike keys in number, and for a batch.
        flex: True; every mask has it, in time that follows its rows if it has spans.
    """
    forms: dict[str, Callable[[Pattern], Any]] = {
        "is_causal": is_causal,
        "window": _window,
        "cu_seqlens": cu_seqlens,
        "causal_cu_seqlens": lambda mask: cu_seqlens(mask, causal=True),
        "varlen": Varlen().export,
        "flex": lambda mask: True,
    }
    found = {}
    for name, form in forms.items():
        try:
            found[name] = form(mask)
        except MaskkitError as error:
            found[name] = NoFit(str(error))
    return found


def is_causal(mask: Pattern) -> bool:
    """True; a ConfigError for all that the causal flag does not say exactly."""
    if mask.shape[-2] != mask.shape[-1]:
        raise ConfigError(
            f"{mask!r} is not the causal mask: its shape is {mask.shape}, and must be square, for with other shapes a "
            'causal flag means one corner here and another there; see "window" and "varlen"'
        )
    lo, hi = row_intervals(mask, "the causal mask")
    behind = np.broadcast_to(np.arange(1, hi.shape[1] + 1), hi.shape)
    check_intervals(f"{mask!r} is not causal", lo, hi, np.zeros_like(lo), behind)
    return True


def _window(mask: Pattern) -> tuple[int, int]:
    lo, hi = row_intervals(mask, "a window")
    queries, keys = mask.shape[-2:]
    sees, place = lo < hi, np.broadcast_to(np.arange(queries) + keys - queries, lo.shape)
    if not sees.any():
        raise ConfigError(f"{mask!r} is not a window: no row sees anything; use to_flex() or allowed()")
    cut_left, cut_right = sees & (lo > 0), sees & (hi < keys)
    left = int((place - lo)[cut_left].max()) if cut_left.any() else -1
    right = int((hi - 1 - place)[cut_right].max()) if cut_right.any() else -1
    if (cut_left.any() and left < 0) or (cut_right.any() and right < 0):
        raise ConfigError(
            f"{mask!r} is not a window: with the last query at the last key, no row that is cut sees its own place; "
            "use to_flex() or allowed()"
        )
    first = np.zeros_like(lo) if left == -1 else np.maximum(place - left, 0)
    behind = np.full_like(hi, keys) if right == -1 else np.minimum(place + right + 1, keys)
    check_intervals(f"{mask!r} is not a window", lo, hi, first, behind)
    return left, right
