"""Attention and its mask as one layer, from plain config: a JSON or YAML file is all it takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from os import PathLike
from typing import Any

import keras
from attrs import field, frozen
from keras import ops
from maskkit import Attention, AttentionMask, ConfigError, Template, read_section, to_dict
from maskkit_keras.layer import AttentionLayer
from maskkit_keras.masks import boolean, is_of_pixels, pixel_mask, scores_mask
from maskkit_keras.templates import allowed_of_unknown, bind_map
from maskkit_keras.values import MaskValue


def _template(mask: Any) -> Template:
    return Template.of(mask)


@frozen(kw_only=True)
class Masked(Attention):
    """Attention that always obeys one mask.

    Attributes:
        attention: any attention: its name, its config `{"type": name, **params}`, or as `maskkit.config` gives it.
        mask: any mask: its name, its config, alone or under `and`, `or`, `xor` and `not`, an expression such as
            `"causal & ~banded(band_width=5)"`, or the mask itself. What it leaves open of `seq_len` (of `height` and
            `width` on maps) is bound to the length of each call.
    """

    name = "masked"
    attention: Attention
    mask: Any = field(converter=_template)


@keras.saving.register_keras_serializable("maskkit")
class MaskedAttention(AttentionLayer):
    """An attention layer with its mask; it takes the inputs of that layer, one tensor for each, and gives its outputs.

    The mask is ANDed with the one that Keras carries along, and with an `attention_mask` of the call. Equal masks are
    bound once for each length, whichever layer asks. Where queries and keys differ in number, both count from 0.

    Args:
        attention: as in `Masked`.
        mask: as in `Masked`.
        options: those of every Keras layer.

    Raises:
        ConfigError: either is wrong, with all problems at once; the attention takes no mask; when called, the mask is
            for other lengths.
    """

    config_class = Masked
    config: Masked

    def __init__(self, attention: Any = None, mask: Any = None, **options: Any) -> None:
        given = {name: value for name, value in (("attention", attention), ("mask", mask)) if value is not None}
        super().__init__(**given, **options)
        self.attention = self.config.attention.layer(name="attention", dtype=self.dtype_policy)
        self._inner = list(inspect.signature(self.attention.call).parameters)
        if "attention_mask" not in self._inner:
            raise ConfigError(f"Parameter 'attention' must take an attention_mask, which {attention!r} does not")
        self._mask_names = [name for name in ("mask", *(f"{x}_mask" for x in self._inner)) if name in self._inner]

    @classmethod
    def from_file(cls, path: str | PathLike[str], key: str | None = None, **options: Any) -> MaskedAttention:
        """The layer that a YAML, TOML or JSON file says: a mapping with `attention` and `mask`.

        Args:
            path: the file.
            key: dotted path of the section that is meant.
            options: those of every Keras layer; they win over the file's.
        """
        section = read_section(path, key)
        where = f"{path}{f' at {key}' if key else ''}"
        if not isinstance(section, Mapping):
            raise ConfigError(f"{where}: expected a mapping with attention and mask, got {section!r}")
        try:
            return cls(**{**section, **options})
        except ConfigError as error:
            raise type(error)(f"{where}: {error}") from error

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as plain data."""
        return {**super().get_config(), "attention": to_dict(self.config.attention), "mask": self.config.mask.tree()}

    def known_shape(self) -> tuple[int | None, ...] | None:
        """That of the layer inside."""
        return self.attention.known_shape()  # type: ignore[no-any-return]

    def build(self, query_shape: Any, value_shape: Any = None, key_shape: Any = None) -> None:
        """Build the layer inside."""
        if not self.attention.built:
            self.attention.build(*self._given(query_shape, value_shape, key_shape))

    def call(
        self,
        query: Any,
        value: Any = None,
        key: Any = None,
        attention_mask: Any = None,
        training: bool | None = None,
        return_attention_scores: bool = False,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        mask: Any = None,
    ) -> Any:
        """Attend.

        Args:
            query: (B, T, C), or a map (B, H, W, C).
            value: what is read, (B, S, D), where the attention can read another input than the queries.
            key: its keys, likewise.
            attention_mask: a further mask, as the attention takes it.
            training: whether dropout acts.
            return_attention_scores: whether to return the weights too, of an attention that can.
            query_mask: the mask that Keras carries along with the query, (B, T).
            value_mask: with the value.
            key_mask: with the key.
            mask: the same as `query_mask`.
        """
        inputs = self._given(query, value, key)
        masks = query_mask if mask is None else mask, value_mask, key_mask
        return self.attention(
            *inputs,
            attention_mask=self._allowed(inputs, attention_mask),
            **dict(zip(self._mask_names, masks, strict=False)),
            **self._options(training, return_attention_scores),
        )

    def compute_output_spec(self, query: Any, value: Any = None, key: Any = None, **options: Any) -> Any:
        """That of the layer inside, without a mask: lengths may be unknown here, or made up."""
        inputs = self._given(query, value, key)
        scores = options.get("return_attention_scores", False)
        return self.attention.compute_output_spec(*inputs, **self._options(None, scores))

    def _given(self, *inputs: Any) -> list[Any]:
        """Those that are not None."""
        given, most = [x for x in inputs if x is not None], len(self._mask_names)
        if len(given) > most:
            raise ConfigError(
                f"{type(self).__name__} {self.name!r} takes at most as many inputs as its "
                f"{type(self.attention).__name__}, {most}, got {len(given)}"
            )
        return given

    def _options(self, training: bool | None, scores: bool) -> dict[str, Any]:
        """What of the call's options the layer inside takes; it says itself that it cannot return weights."""
        options: dict[str, Any] = {"training": training} if "training" in self._inner else {}
        return {**options, "return_attention_scores": True} if scores else options

    def _allowed(self, inputs: list[Any], attention_mask: Any) -> Any:
        """The bound mask, ANDed with the call's: a mask value, or booleans."""
        shape = inputs[0].shape
        if len(shape) == 4:
            return self._allowed_pixels(shape[1:3], attention_mask)
        lengths = shape[1], inputs[min(1, len(inputs) - 1)].shape[1]
        if all(isinstance(length, int) for length in lengths):
            bound = self.config.mask.bind(*lengths)
        else:
            bound = self._on_indices(inputs)
        return bound if attention_mask is None else _both(bound, attention_mask, *lengths)

    def _allowed_pixels(self, size: tuple[Any, Any], attention_mask: Any) -> Any:
        if not all(isinstance(axis, int) for axis in size):
            raise ConfigError(f"{type(self).__name__} {self.name!r} needs maps of known height and width, got {size}")
        bound = bind_map(self.config.mask, *size)
        if attention_mask is None:
            return bound
        bound, given = boolean(bound), boolean(attention_mask)
        bound, given = (pixel_mask(x, size=size) if is_of_pixels(x, size) else x for x in (bound, given))
        return _both(bound, given, math.prod(size), math.prod(size))

    def _on_indices(self, inputs: list[Any]) -> Any:
        """For lengths that only the running graph knows."""
        queries, keys = ops.shape(inputs[0])[1], ops.shape(inputs[min(1, len(inputs) - 1)])[1]
        return allowed_of_unknown(self.config.mask, queries, keys)


def _both(bound: Any, given: Any, queries: Any, keys: Any) -> Any:
    """What both allow: a mask value if both are, else booleans (batch, keys), or (batch, heads, queries, keys)."""
    if isinstance(bound, AttentionMask) and isinstance(given, MaskValue):
        return bound & given.mask
    bound, given = boolean(bound), boolean(given)
    if len(bound.shape) == len(given.shape) == 2:
        return ops.logical_and(bound, given)
    return ops.logical_and(*(scores_mask(mask, queries=queries, keys=keys) for mask in (bound, given)))
