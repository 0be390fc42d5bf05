"""Where masks of tokens begin: a layer that finds the padding, and an embedding that obeys and carries the mask."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops
from maskkit.errors import ConfigError
from maskkit.validators import is_integer, is_number, shown
from maskkit_keras.masks import boolean

_SMALL = ("bool", "int8", "int16", "uint8", "uint16")
"""Integers that may not hold a mask value such as -1."""


@keras.saving.register_keras_serializable("maskkit")
class TokenMasking(keras.layers.Layer):  # type: ignore[misc]
    """Blocks padding, one flag per token: the mask has the shape (batch, steps) for tokens and for features.

    Tokens (batch, steps), integers or whole floats, are blocked where they equal `mask_value`, and pass unchanged.
    Features (batch, steps, ..., channels) are blocked where every channel equals it, and become 0 there, as in
    `keras.layers.Masking`. (That layer reduces the last axis of tokens too, to one flag per sample.)

    What a mask that comes with the input blocks stays blocked.

    Args:
        mask_value: the number that stands for padding.
        options: those of every Keras layer.

    Raises:
        ConfigError: `mask_value` is no number, or NaN, which equals nothing; the input has fewer than two axes.
    """

    def __init__(self, mask_value: float = 0, **options: Any) -> None:
        super().__init__(**options)
        if not is_number(mask_value):
            raise ConfigError(f"mask_value must be a number, got {shown(mask_value)}")
        self.mask_value = int(mask_value) if is_integer(mask_value) else float(mask_value)
        self.supports_masking = True
        self.autocast = False  # rounded to half precision, another number could become the mask value

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Tokens as they are; features with 0 where blocked.

        Args:
            inputs: (batch, steps), or (batch, steps, ..., channels).
            mask: the mask that Keras carries along, of the shape of the mask that comes out.
        """
        if len(inputs.shape) == 2:
            return ops.copy(inputs)  # Keras ties the mask to the tensor, and the caller's must not get one
        features = _zeroed(inputs, self.compute_mask(inputs, mask))
        floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(inputs.dtype))
        return ops.cast(features, self.compute_dtype) if floating else features

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Booleans (batch, steps), or (batch, steps, ...) without the channels: what is not padding."""
        rank = len(inputs.shape)
        if rank < 2:
            raise ConfigError(
                f"TokenMasking {self.name!r} takes tokens (batch, steps) or features (batch, steps, channels), "
                f"got an input of shape {tuple(inputs.shape)}"
            )
        if keras.backend.standardize_dtype(inputs.dtype) in _SMALL:
            inputs = ops.cast(inputs, "int32")
        real = ops.not_equal(inputs, self.mask_value)
        real = real if rank == 2 else ops.any(real, axis=-1)
        if mask is None:
            return real
        mask = boolean(mask, "mask")
        if len(mask.shape) != len(real.shape):
            raise ConfigError(
                f"the input of TokenMasking {self.name!r} carries a mask of shape {tuple(mask.shape)}, not one "
                f"of its {tuple(real.shape)} steps; keras.layers.Masking makes such masks of tokens: leave it out"
            )
        return ops.logical_and(real, mask)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mask_value": self.mask_value}


@keras.saving.register_keras_serializable("maskkit")
class MaskedEmbedding(keras.layers.Embedding):  # type: ignore[misc]
    """Embeds tokens (batch, steps) to (batch, steps, dim); where the mask blocks, exactly 0, whatever was learnt.

    The mask goes on to the next layer. Blocked tokens are not looked up, so that padding may be any number; nor do
    they train the table. Without a mask it is `keras.layers.Embedding`.

    Args:
        vocab: number of tokens, 0..vocab - 1.
        dim: width of the embedding.
        options: those of `keras.layers.Embedding`, such as `embeddings_initializer`, but for `mask_zero`: masks are
            made by `TokenMasking`, or given.

    Raises:
        ConfigError: `vocab` or `dim` is not a positive integer, or `mask_zero` is given.
    """

    def __init__(self, vocab: int, dim: int, **options: Any) -> None:
        for name, value in (("vocab", vocab), ("dim", dim)):
            if not is_integer(value) or value <= 0:
                raise ConfigError(f"{name} must be a positive integer, got {shown(value)}")
        if options.pop("mask_zero", False):
            raise ConfigError(
                "MaskedEmbedding makes no mask: put maskkit_keras.TokenMasking(0) before it, not mask_zero"
            )
        super().__init__(int(vocab), int(dim), **options)
        self.supports_masking = True

    @property
    def vocab(self) -> int:
        """Number of tokens."""
        return int(self.input_dim)

    @property
    def dim(self) -> int:
        """Width of the embedding."""
        return int(self.output_dim)

    def call(self, inputs: Any, mask: Any = None) -> Any:
        """Look up.

        Args:
            inputs: tokens (batch, steps).
            mask: the mask that Keras carries along, booleans (batch, steps).
        """
        if mask is None:
            return super().call(inputs)
        mask = boolean(mask, "mask")
        return _zeroed(super().call(_zeroed(inputs, mask)), mask)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask goes on."""
        return None if mask is None else boolean(mask, "mask")

    def compute_output_spec(self, inputs: Any, mask: Any = None) -> Any:
        """As without a mask."""
        return super().compute_output_spec(inputs)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config = super().get_config()
        own = {"vocab": config.pop("input_dim"), "dim": config.pop("output_dim")}
        del config["mask_zero"]
        return {**config, **own}


def _zeroed(x: Any, mask: Any) -> Any:
    """0 where a mask (batch, steps, ...) blocks; the mask holds for all axes that it does not have."""
    for _ in range(len(x.shape) - len(mask.shape)):
        mask = ops.expand_dims(mask, axis=-1)
    return ops.where(mask, x, ops.zeros_like(x))
