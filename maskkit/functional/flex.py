"""`flex_attention` with the signature of Torch's, which trains on a CPU and needs no compiler."""

from __future__ import annotations

from typing import Any

from maskkit.errors import ConfigError
from maskkit.kernels.attend import attend
from maskkit.masks.axes import HEADS, sizes
from maskkit.masks.from_flex import from_flex


def flex_attention(
    query: Any,
    key: Any,
    value: Any,
    score_mod: Any = None,
    block_mask: Any = None,
    scale: float | None = None,
    enable_gqa: bool = False,
    return_lse: bool = False,
    kernel_options: Any = None,
    *,
    return_aux: Any = None,
) -> Any:
    """`torch.nn.attention.flex_attention.flex_attention` by `maskkit.attend`: the same arguments, any device.

    `maskkit.from_flex` says how a BlockMask is read. `score_mod` and `kernel_options` must be None, and `return_aux`
    may ask for `lse` alone. Otherwise, and where `maskkit.attend` or `from_flex` do not take what is given, a
    ConfigError tells what to write.
    """
    if score_mod is not None:
        raise ConfigError(
            "score_mod must be None, for a mask changes no scores; what it sets to -inf say in a mask_mod of "
            "create_block_mask, and for other changes call Torch's own flex_attention"
        )
    if kernel_options is not None:
        raise ConfigError("kernel_options must be None: they are of Torch's own kernels; maskkit.attend takes kernel=")
    if return_aux is not None and (return_lse or return_aux.max_scores):
        raise ConfigError(f"return_aux may ask for lse alone, and without return_lse, got {return_aux!r}")
    mask = None if block_mask is None else from_flex(block_mask)
    for axis, size in {} if mask is None else sizes(mask).items():
        count = query.shape[HEADS.index(axis)]
        if size == 1 != count and axis in HEADS[:2]:
            raise ConfigError(
                f"mask_mod reads the index of the {axis}, and block_mask has it for 1 of {count}; make it with "
                f"create_block_mask(mask_mod, B={query.shape[0]}, H={query.shape[1]}, ...)"
            )
    lse = return_lse or (return_aux is not None and return_aux.lse)
    found = attend(query, key, value, mask, scale=scale, enable_gqa=enable_gqa, return_lse=lse)
    if return_aux is None:
        return found
    from torch.nn.attention.flex_attention import AuxOutput

    return (found[0], AuxOutput(lse=found[1])) if lse else (found, AuxOutput())
