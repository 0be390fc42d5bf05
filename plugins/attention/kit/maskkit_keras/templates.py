"""Templates of masks where Keras knows more than one length, or none until the graph runs."""

from __future__ import annotations

import copy
from typing import Any

import keras
from keras import ops
from maskkit import AttentionMask, ConfigError, Mask, Template
from maskkit.arrays import maximum
from maskkit_keras.masks import boolean
from maskkit_keras.values import SCORES

_ANY = 2**30
"""Stands for a length that is a tensor, until the tensor takes its place."""


def bind_map(template: Template, height: int, width: int) -> Mask:
    """The mask of a feature map: of its pixels (height, width), or of pairs of them (height * width, the same)."""
    mask = template.sized(seq_len=height * width, height=height, width=width)
    if mask.shape[-2:] not in ((height, width), (height * width, height * width)):
        raise ConfigError(f"{mask!r} of shape {mask.shape} is no mask of a map of {height} x {width} pixels")
    return mask


def allowed_of_unknown(template: Template, queries: Any, keys: Any) -> Any:
    """What is allowed where lengths are tensors: the predicate itself, on index tensors.

    Args:
        template: of a mask of queries and keys.
        queries: how many there are, a scalar tensor.
        keys: likewise.

    Returns:
        Booleans that broadcast to (batch, heads, queries, keys); of padding (batch, keys).
    """
    mask = template.sized(seq_len=_ANY)
    if not template.open:
        return boolean(mask)
    if not isinstance(mask, AttentionMask):
        raise ConfigError(f"{mask!r} is no mask of queries and keys")
    dtype = "int32" if keras.backend.backend() == "jax" else "int64"
    if keras.backend.backend() == "tensorflow":
        queries, keys = ops.cast(queries, dtype), ops.cast(keys, dtype)
    sizes = [*mask.shape[:-2], queries, keys]
    index = [
        ops.reshape(ops.arange(size, dtype=dtype), [-1 if axis == own else 1 for axis in SCORES])
        for own, size in zip(mask.axes, sizes, strict=True)
    ]
    return _with_length(mask, maximum(queries, keys)).allows(*index)


def _with_length(mask: Any, length: Any) -> Any:
    """The mask with a tensor as its length, of which only the predicate is asked."""
    if mask.parts:
        return mask.with_parts(tuple(_with_length(part, length) for part in mask.parts))
    if getattr(mask, "seq_len", None) != _ANY:
        raise ConfigError(f"{mask!r} has a length of its own, and so needs one that is known: keras.Input((128,))")
    if any(not attribute.init for attribute in mask.__attrs_attrs__):
        raise ConfigError(f"a {mask.name} mask makes tables of its length, which must be known: keras.Input((128,))")
    return _OfLength(mask, length)


class _OfLength:
    """The predicate of a mask whose length is a tensor, with the shape that it had before."""

    def __init__(self, mask: Mask, length: Any) -> None:
        self.mask = copy.copy(mask)
        object.__setattr__(self.mask, "seq_len", length)  # as it is: a validator would look at its value
        self.shape, self.axes, self.depth = mask.shape, mask.axes, mask.depth

    def allows(self, *index: Any) -> Any:
        try:
            return self.mask.allows(*index)
        except TypeError as error:  # as TensorFlow says it
            raise ConfigError(
                f"a {self.mask.name} mask counts up to its length in Python, which must be known: keras.Input((128,))"
            ) from error
