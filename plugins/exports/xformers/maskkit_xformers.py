"""Xformers: masks as attention biases of xFormers."""

from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from maskkit import ConfigError, Mask, hookimpl


class Bias(NamedTuple):
    """One of xFormers' attention biases: its class, the constructor's name ("" is the class itself), its arguments."""

    kind: str
    constructor: str
    arguments: dict[str, Any]


class Xformers:
    """The object of `xformers.ops.fmha.attn_bias` that says exactly what a mask says."""

    name = "xformers"

    def export(self, mask: Mask) -> Any:
        """The object; needs xFormers."""
        bias = bias_of(mask)
        try:
            found = getattr(import_module("xformers.ops.fmha.attn_bias"), bias.kind)
        except ImportError as error:
            raise ConfigError(f"xformers is not installed; it would be {bias.kind}: pip install xformers") from error
        return (getattr(found, bias.constructor) if bias.constructor else found)(**bias.arguments)


def bias_of(mask: Mask) -> Bias:
    """Which of xFormers' attention biases it is, of the first of: causal, a window, packed documents.

    Raises:
        ConfigError: it is none of them, with the reason of each.
    """
    fits = mask.fits() if hasattr(mask, "fits") else {}
    if fits.get("is_causal"):
        return Bias("LowerTriangularMask", "", {})
    window = fits.get("window")
    if window == (-1, 0):
        return Bias("LowerTriangularFromBottomRightMask", "", {})
    if window and min(window) >= 0:
        return Bias("LocalAttentionFromBottomRightMask", "", dict(window_left=window[0], window_right=window[1]))
    if packed := fits.get("varlen"):
        queries, keys = (np.diff(packed[f"cu_seqlens_{one}"]).tolist() for one in ("q", "k"))
        lengths = dict(q_seqlen=queries, kv_seqlen=keys)
        kind = "BlockDiagonalCausalFromBottomRightMask" if packed["causal"] else "BlockDiagonalMask"
        return Bias(kind, "from_seqlens", lengths)
    found = {name: fits[name] for name in ("is_causal", "window", "varlen") if name in fits}
    why = "; ".join(f"{name}: {getattr(value, 'why', f'{value} is none that it has')}" for name, value in found.items())
    raise ConfigError(f"{mask!r} is no attention bias of xFormers but a tensor, mask.bias(); {why}")


@hookimpl
def maskkit_backends():
    return [Xformers()]
