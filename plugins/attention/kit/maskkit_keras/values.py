"""Mask values, which stay what they are on their way through Keras down to a kernel, and what goes along with them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from attrs import frozen
from keras import ops
import maskkit
from maskkit import AttentionMask, ConfigError, Mask, PaddingMask, is_of_tokens
from maskkit.arrays import host

SCORES = ("batch", "head", "query", "key")
"""The axes of attention scores, in order; every mask of scores has them all, of size 1 where it has none of its own."""


@keras.saving.register_keras_serializable("maskkit")
@frozen
class MaskValue:
    """A mask of queries and keys on its way through Keras, which makes an array of whatever has an `__array__`."""

    mask: Mask

    @classmethod
    def unwrap(cls, value: Any) -> Any:
        """The mask in it, and anything else as it is."""
        return value.mask if isinstance(value, cls) else value

    @property
    def shape(self) -> tuple[int, ...]:
        """(batch, heads, queries, keys), with 1 where the mask has no such axis."""
        sizes = dict(zip(self.mask.axes, self.mask.shape, strict=True))
        return tuple(sizes.get(axis, 1) for axis in SCORES)

    def get_config(self) -> dict[str, Any]:
        """The mask as plain data, as Keras saves it with a model; its array, if its class would not be found again."""
        config = maskkit.to_dict(self.mask)
        try:
            found = maskkit.from_dict(config)
        except ConfigError:
            found = None
        if found == self.mask:
            return config
        return maskkit.to_dict(maskkit.from_array(self.mask.allowed(dtype="bool"), "allowed", self.mask.axes))

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> MaskValue:
        """The inverse of `get_config`."""
        return cls(maskkit.from_dict(config))


def through_keras(mask: Mask) -> Any:
    """What goes through Keras in a mask value's place: it itself where a kernel may take it, else its array."""
    if keras.backend.backend() == "tensorflow" or not (isinstance(mask, AttentionMask) and mask.on_host):
        return array_of(mask)
    return _constant(mask).clone() if torch_compiles() else MaskValue(mask)  # for Keras asks what constants lack


def torch_compiles() -> bool:
    """Whether Torch traces what runs now, and so would trace how a kernel is chosen."""
    return keras.backend.backend() == "torch" and bool(torch.compiler.is_compiling())


def _constant(mask: Mask) -> Any:
    """Its booleans, as a constant of the graph that Torch compiles."""
    return ops.convert_to_tensor(array_of(mask))


if keras.backend.backend() == "torch":
    import torch

    torch.compiler.assume_constant_result(_constant)
if keras.backend.backend() == "jax":  # which traces what is not registered as free of arrays
    from jax.tree_util import register_pytree_node

    register_pytree_node(MaskValue, lambda value: ((), value), lambda value, _: value)


def array_of(mask: Mask) -> Any:
    """The array of a mask value, whose number of axes says what they are.

    Of queries and keys it has all four axes, (batch, heads, queries, keys), with 1 where the mask has none; of padding
    (batch, keys); of pixels (batch, height, width).
    """
    attention = isinstance(mask, AttentionMask)
    array = mask.allowed("numpy" if mask.on_host else "keras", form="heads" if attention else None)
    return array if attention or len(mask.shape) > 2 or is_of_tokens(mask) else array[None]


@frozen(kw_only=True)
class Until(AttentionMask):
    """Causal, for any number of queries and keys."""

    name = "until"
    q_len: int
    kv_len: int

    @property
    def shape(self) -> tuple[int, ...]:
        return self.q_len, self.kv_len

    def allows(self, q: Any, k: Any) -> Any:
        return k <= q


_WORTH = 2**20
"""Pairs of a sample from which it is worth a new plan for every batch to know the lengths of its samples."""


def padding_of(pairs: Any, queries: int) -> PaddingMask | None:
    """Booleans (batch, 1, 1, keys) whose numbers are at hand as the lengths of samples; None if they are no padding.

    Not on JAX, which would compile for every batch.
    """
    batch, *rest, keys = pairs.shape
    array = host(pairs) if rest == [1, 1] and queries * keys >= _WORTH and keras.backend.backend() == "torch" else None
    if array is None:
        return None
    real = array.reshape(batch, keys)
    for side, turned in (("post", real), ("pre", real[:, ::-1])):
        lengths = turned.sum(axis=1)
        if (turned == (np.arange(keys) < lengths[:, None])).all():
            return PaddingMask(lengths=lengths, seq_len=keys, padding=side)
    return None
