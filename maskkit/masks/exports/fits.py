"""Cheap forms that some masks have exactly: a causal flag, a window, packed documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from attrs import frozen
from maskkit.errors import ConfigError
from maskkit.masks.exports.varlen import check_intervals, cu_seqlens, single_interval
from maskkit.masks.pattern import Pattern


@frozen
class NoFit:
    """Why a mask does not have a form; false in conditions."""

    why: str

    def __bool__(self) -> bool:
        return False


def fits(mask: Pattern) -> dict[str, Any]:
    """Form -> its value, or a `NoFit`.

    Forms:
        is_causal: True; for `is_causal=True` of `scaled_dot_product_attention`.
        window: (left, right), keys seen before and after the query, -1 for all; as FlashAttention's `window_size`.
        cu_seqlens: where documents begin; as FlashAttention's variable-length functions take it.
        causal_cu_seqlens: the same, for documents that are causal inside.
        flex: True; every mask has it, in time that follows its rows if it has spans.
    """
    forms: dict[str, Callable[[Pattern], Any]] = {
        "is_causal": _is_causal,
        "window": _window,
        "cu_seqlens": cu_seqlens,
        "causal_cu_seqlens": lambda mask: cu_seqlens(mask, causal=True),
        "flex": lambda mask: True,
    }
    found = {}
    for name, form in forms.items():
        try:
            found[name] = form(mask)
        except ConfigError as error:
            found[name] = NoFit(str(error))
    return found


def _is_causal(mask: Pattern) -> bool:
    lo, hi = single_interval(mask, "the causal mask")
    check_intervals(f"{mask!r} is not causal", lo, hi, np.zeros_like(lo), np.arange(1, len(hi) + 1))
    return True


def _window(mask: Pattern) -> tuple[int, int]:
    lo, hi = single_interval(mask, "a window")
    rows, length = np.arange(len(lo)), len(lo)
    left = rows - lo if (lo == 0).all() else (rows - lo)[lo > 0]
    right = hi - 1 - rows if (hi == length).all() else (hi - 1 - rows)[hi < length]
    window = (-1 if (lo == 0).all() else int(left.max()), -1 if (hi == length).all() else int(right.max()))
    first = np.zeros_like(rows) if window[0] < 0 else np.maximum(rows - window[0], 0)
    behind = np.full_like(rows, length) if window[1] < 0 else np.minimum(rows + window[1] + 1, length)
    check_intervals(f"{mask!r} is not a window", lo, hi, first, behind)
    return window
