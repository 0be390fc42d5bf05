"""Writing a mask into logits: `apply_mask`, for attention and for segmentation."""

from __future__ import annotations

import math
from typing import Any

from maskkit.arrays.dtypes import dtype_name, is_floating, lowest
from maskkit.arrays.libraries import is_array, library, namespace
from maskkit.errors import ConfigError
from maskkit.masks.axes import is_attention
from maskkit.masks.given import from_array
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.validators import is_number, one_of, shown

Axes = tuple[int | None, ...]
"""The shape of a mask over its inputs: None where one entry serves all."""


def apply_mask(inputs: Any, mask: Any, mask_value: float = -1e9, mask_type: str | None = None) -> Any:
    """Write a value where a mask blocks, and leave the rest as it is.

    Args:
        inputs: floats of NumPy, Torch, JAX or Keras. For attention logits (..., T, S); for segmentation (B, Q, H, W).
        mask: a mask, or booleans of any of these libraries in which True means allowed. For attention (T, S), (B, T, S)
            where the first axis of the inputs is the batch, or as many axes as the inputs, where 1 serves all but for
            T and S. For segmentation (Q,) for whole queries, (H, W) for the pixels of all queries, or (B, Q, H, W).
        mask_value: what is written; a number beyond the dtype's finite range counts as the nearest one in it, and
            infinity as itself.
        mask_type: "attention" or "segmentation"; None where the mask and the inputs leave only one reading.

    Returns:
        An array like `inputs`, on the same device; gradients flow to what is allowed, and are 0 where it blocks.

    Raises:
        ConfigError: the inputs are not floating, the shapes do not fit, or the mask can be read in two ways.
    """
    dtype = _check_inputs(inputs)
    value = _holdable(mask_value, dtype)
    known = as_mask(mask, "apply_mask")
    reading = _reading(inputs, known, mask_type, bare=known is not mask)
    axes = _axes(known, tuple(inputs.shape), reading)
    functions = namespace(inputs)
    allowed = functions.reshape(_allowed(known, inputs), tuple(1 if size is None else size for size in axes))
    if library(inputs) == "numpy":
        value = inputs.dtype.type(value)  # a bare number would widen dtypes that NumPy does not know, as bfloat16
    return functions.where(allowed, inputs, value)


def as_mask(mask: Any, function: str) -> Mask:
    """A mask as it is, or the one of a boolean array in which True means allowed."""
    if isinstance(mask, Mask):
        return mask
    if not is_array(mask):
        hint = "; it is several masks, take one of them" if isinstance(mask, (tuple, list)) else ""
        raise ConfigError(f"{function} takes masks, and boolean arrays, got {type(mask).__name__}{hint}")
    if dtype_name(mask.dtype) != "bool":
        raise ConfigError(
            f"{function} takes arrays in which True means allowed, got {shown(mask)}; "
            "write `array != 0` if 1 means allowed, or `array == 0` for an additive bias"
        )
    count = len(mask.shape)
    axes = _BARE.get(count, tuple(f"axis {i}" for i in range(count)) or None)
    return from_array(mask, true="allowed", axes=axes)


_BARE = {1: None, 2: None, 3: ("batch", "query", "key"), 4: None}
"""How these functions read an array by the number of its axes; None as `from_array` does."""


def _allowed(mask: Mask, inputs: Any) -> Any:
    """Booleans beside the inputs."""
    kind = library(inputs)
    if kind == "torch":
        return mask.allowed("torch", "bool", inputs.device)
    return mask.allowed(kind, "bool")


def _check_inputs(inputs: Any) -> str:
    """The dtype of the inputs, which must be able to hold the value."""
    if not is_array(inputs):
        raise ConfigError(f"inputs must be a floating array, got {type(inputs).__name__}")
    dtype = dtype_name(inputs.dtype)
    if not is_floating(dtype):
        raise ConfigError(
            f"inputs must be floating, got {shown(inputs)}; apply the mask to logits before they are rounded, "
            "or convert them: inputs.astype('float32'), tensor.float()"
        )
    return dtype


def _holdable(value: Any, dtype: str) -> float:
    if not is_number(value):
        raise ConfigError(f"mask_value must be a number, got {shown(value)}")
    number, least = float(value), lowest(dtype)
    return number if math.isinf(number) else min(max(number, least), -least)


def _reading(inputs: Any, mask: Mask, mask_type: str | None, *, bare: bool) -> str:
    """ "attention" or "segmentation". A bare array does not say what its axes are."""
    if mask_type is not None:
        one_of("attention", "segmentation").check("mask_type", mask_type)
        return mask_type
    axes, most = len(mask.shape), len(inputs.shape)
    if not bare:
        return "attention" if isinstance(mask, AttentionMask) else "segmentation"
    if axes == 2 or axes == most:  # over the last two axes, or over all: either way the same
        return "attention"
    raise ConfigError(
        f"an array of shape {tuple(mask.shape)} over inputs of shape {tuple(inputs.shape)} can be read in two ways; "
        "give mask_type='attention' or mask_type='segmentation'"
    )


def _axes(known: Mask, inputs: tuple[Any, ...], reading: str) -> Axes:
    """The mask's axes over those of the inputs, or an error with both shapes and the way out."""
    mask, attention = tuple(known.shape), reading == "attention"
    axes = _attention_axes(known.axes, mask, inputs) if attention else _segmentation_axes(mask, inputs)
    if axes is not None and _fits(axes, inputs, loose=len(axes) - 2 if attention else 0):
        return axes
    takes, hint = _HELP[reading]
    raise ConfigError(f"a mask of shape {mask} does not fit inputs of shape {inputs}: {takes}; {hint}")


_HELP = {
    "attention": (
        "logits (B, ..., T, S) take masks (T, S) and (B, T, S), and (B, H, T, S) those with heads",
        "cut the mask with a slice, such as mask[-1:, :] for the last query, or give mask_type='segmentation'",
    ),
    "segmentation": (
        "inputs (B, Q, H, W) take masks (Q,), (H, W) and (B, Q, H, W)",
        "add the axes that are missing, such as inputs[None], or give mask_type='attention'",
    ),
}


def _attention_axes(names: tuple[str, ...], mask: tuple[int, ...], inputs: tuple[Any, ...]) -> Axes | None:
    """By name: the first axis of the inputs is the batch, the second of four the head."""
    if len(inputs) < 2 or len(mask) < 2:
        return None
    if not is_attention(names):  # an array of so many axes that they have no names
        return mask if len(mask) == len(inputs) else None
    places = {"batch": 0} | ({"head": 1} if len(inputs) == 4 else {})
    leading: list[int | None] = [None] * (len(inputs) - 2)
    for axis, size in zip(names[:-2], mask, strict=False):
        if places.get(axis, len(inputs)) >= len(leading):
            return None
        leading[places[axis]] = size
    return (*leading, *mask[-2:])


def _segmentation_axes(mask: tuple[int, ...], inputs: tuple[Any, ...]) -> Axes | None:
    if len(inputs) != 4:
        return None
    return (*mask, None, None) if len(mask) == 1 else mask if len(mask) in (2, 4) else None


def _fits(axes: Axes, inputs: tuple[Any, ...], loose: int) -> bool:
    """Whether the axes are those of the inputs, where the first few may be 1; sizes that are not known yet fit."""
    pairs = enumerate(zip(axes, inputs[len(inputs) - len(axes) :], strict=True))
    return all(None in (size, other) or size == other or (size == 1 and i < loose) for i, (size, other) in pairs)
