"""The base of every attention layer: parameters from the light config, masks from every side, weights apart."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ClassVar

import keras
from keras import ops
import maskkit
from maskkit import KERAS_OPTIONS, Attention, AttentionMask, ConfigError, Mask, is_of_tokens
from maskkit.validators import message
from maskkit_keras.attention import attend
from maskkit_keras.kernels import by_fans, fresh, mean, widen
from maskkit_keras.masks import carried_mask
from maskkit_keras.values import MaskValue, array_of, through_keras


class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Keras' dropout, whose rate may be 1 (Keras divides by the rest, which is then 0)."""

    def acts(self, training: bool | None) -> bool:
        """Whether it does anything now."""
        return bool(training and self.rate)

    def drop(self, x: Any, training: bool | None) -> Any:
        """For use inside of a layer: `x` with some of it dropped, or `x` itself, without a call, if nothing is."""
        return self(x, training=True) if self.acts(training) else x

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Zeros at rate 1 while training, else as Keras."""
        return ops.zeros_like(inputs) if training and self.rate == 1 else super().call(inputs, training=training)


class LayerNormalization(keras.layers.LayerNormalization):  # type: ignore[misc]
    """Keras' layer norm over the last axis, which keeps float64 (Keras goes through float32)."""

    def call(self, inputs: Any) -> Any:
        """Normalised in float32 at least, times `gamma`, plus `beta`."""
        wide = widen(inputs)
        centred = wide - mean(wide, keepdims=True)
        variance = mean(ops.square(centred), keepdims=True)
        gamma, beta = (ops.cast(weight, wide.dtype) for weight in (self.gamma, self.beta))
        return ops.cast(centred * ops.rsqrt(variance + self.epsilon) * gamma + beta, inputs.dtype)


class BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    """Keras' batch norm over the last axis, which outside of training keeps float64 (Keras goes through float32)."""

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Normalised by the batch while training, else by what was learnt; times `gamma`, plus `beta`."""
        if training and self.trainable:
            return super().call(inputs, training=True, mask=mask)
        gain = widen(self.gamma) * ops.rsqrt(widen(self.moving_variance) + self.epsilon)
        return ops.cast((widen(inputs) - widen(self.moving_mean)) * gain + widen(self.beta), inputs.dtype)


_MAKING: ContextVar[bool] = ContextVar("_MAKING", default=False)
"""Whether one of these layers is in its constructor."""


class _BuiltAtOnce(type(keras.layers.Layer)):  # type: ignore[misc]
    """Builds a layer when it is made, if its config knows how wide its inputs are: Torch's optimizers, `state_dict` and
    `.to` take the weights that are there.

    A layer made inside of another's constructor is left to that one's `build`, which gives its weights their path.
    """

    def __call__(cls, *args: Any, **params: Any) -> Any:
        inside = _MAKING.set(True)
        try:
            layer = super().__call__(*args, **params)
        finally:
            _MAKING.reset(inside)
        if not _MAKING.get() and (shape := layer.known_shape()) is not None:
            layer.build(shape)
        return layer


class AttentionLayer(keras.layers.Layer, metaclass=_BuiltAtOnce):  # type: ignore[misc]
    """Base class: `config_class` is the whole constructor, and every parameter is an attribute of the layer.

    Subclasses define `config_class`, `build` and `call`. Its arguments `attention_mask` and `mask` take mask values;
    `mask` and `<input>_mask` receive the masks that Keras carries along.

    Where `shapes` of the config gives the width of all inputs as a parameter, the layer is built when it is made, and
    the width of its inputs is checked; else the first inputs tell it.

    Class attributes:
        config_class: the light config.
        weights_rate: the parameter that is the share of attention weights dropped while training, if there is one. Then
            the layer has a `weights_dropout`, which acts in `attend` and `read`.
    """

    config_class: ClassVar[type[Attention]]
    weights_rate: ClassVar[str] = ""
    _arguments: ClassVar[list[str]]
    _mask_sources: ClassVar[dict[str, str]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "config_class"):
            cls.__signature__ = _signature(cls.config_class)
        if "build" in vars(cls):
            cls.build = _once(cls.build)
        names = list(inspect.signature(cls.call).parameters)[1:]
        cls._arguments = names
        cls._mask_sources = {"mask": names[0]} if "mask" in names else {}
        cls._mask_sources |= {f"{name}_mask": name for name in names if f"{name}_mask" in names}

    def __init__(self, **params: Any) -> None:
        options = {name: params.pop(name) for name in KERAS_OPTIONS if name in params}
        config: Any = maskkit.build(self.config_class, params)
        super().__init__(**options)
        self.supports_masking = True
        self.config = config
        self._inputs = declared_inputs(config)
        widths = {axes[-1] for inputs in self._inputs for axes in inputs}
        self._width = (
            widths.pop() if len(widths) == 1 and widths <= maskkit.parameters(self.config_class).keys() else ""
        )
        self._kernel_count = 0
        for name in maskkit.parameters(self.config_class):
            setattr(self, name, self._parameter(name, getattr(config, name)))
        self.weights_dropout = self.new_dropout(self.weights_rate) if self.weights_rate else None

    def _parameter(self, name: str, value: Any) -> Any:
        """Keras objects as objects, everything else as given."""
        if not name.endswith(("_initializer", "_regularizer")):
            return value
        try:
            return (keras.initializers if name.endswith("_initializer") else keras.regularizers).get(value)
        except ValueError as error:
            raise ConfigError(f"{message(self.config, name, 'must be known to Keras', value)}: {error}") from error

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments as they were given."""
        own = {name: getattr(self.config, name) for name in maskkit.parameters(self.config_class)}
        if self.activity_regularizer is not None:
            own["activity_regularizer"] = keras.regularizers.serialize(self.activity_regularizer)
        return {**super().get_config(), **own}

    # -- masks ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As every Keras layer; mask values are wrapped before Keras makes arrays of them that forget their axes."""
        by_position = dict(zip(self._arguments, args, strict=False))
        self._check_positions(by_position)
        pairs, other = (MaskValue.unwrap(kwargs.get(name)) for name in ("mask", "attention_mask"))
        free = {"mask", "attention_mask"} <= set(self._arguments[len(args) :])
        if free and isinstance(pairs, AttentionMask) and (other is None or isinstance(other, AttentionMask)):
            # Of queries and keys, it is no padding that Keras carries on to the next layer.
            kwargs |= {"mask": None, "attention_mask": pairs if other is None else other & pairs}
        given = {**by_position, **kwargs}
        if self._width:
            self._check_width(*(getattr(x, "shape", ()) for x in _listed(given.get(self._arguments[0]))))
        for name, arrive in (("attention_mask", through_keras), ("mask", array_of)):
            if isinstance(mask := MaskValue.unwrap(given.get(name)), Mask):
                self._check_kind(mask, given[self._arguments[0]])
                kwargs[name] = arrive(mask)
        kwargs.update(self._carried_masks(given))
        return super().__call__(*args, **kwargs)

    def _check_positions(self, given: dict[str, Any]) -> None:
        """An array in the place of a mask is most likely an input, as `value` is in Keras' own `layer(x, x)`."""
        for name in ("attention_mask", "mask"):
            value = MaskValue.unwrap(given.get(name))
            if hasattr(value, "shape") and not isinstance(value, Mask):
                place = self._arguments.index(name) + 1
                inputs = ", ".join(self._arguments[: place - 1])
                raise ConfigError(
                    f"{type(self).__name__} {self.name!r} takes {inputs} by position, and got an array of shape "
                    f"{tuple(value.shape)} as number {place}; if it is a mask, give it as {name}="
                )

    def _check_kind(self, mask: Mask, inputs: Any) -> None:
        tokens = hasattr(inputs, "shape") and len(inputs.shape) == 3
        if tokens and not isinstance(mask, AttentionMask) and not is_of_tokens(mask):
            raise ConfigError(
                "Parameter 'attention_mask' must be a mask of queries and keys, or of padding, "
                f"got {mask!r} of shape {mask.shape}"
            )

    def _carried_masks(self, given: dict[str, Any]) -> dict[str, Any]:
        """The masks that the inputs carry, for arguments that were not given.

        Keras fills `mask` only if there is one tensor argument, and so drops it when there is an `attention_mask` too.
        """
        found = {}
        for name, source in self._mask_sources.items():
            if given.get(name) is None and (inputs := given.get(source)) is not None:
                masks = [carried_mask(x) for x in _listed(inputs)]
                if any(mask is not None for mask in masks):
                    found[name] = masks if isinstance(inputs, (list, tuple)) else masks[0]
        return found

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The first input's mask goes on to the output."""
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    # -- weights --------------------------------------------------------------------------------------------------

    def fresh_initializer(self, name: str = "kernel_initializer", kernels: int = 1) -> Any:
        """A copy of one of the layer's initializers that gives numbers of its own.

        Args:
            name: the attribute.
            kernels: how many kernels a sub-layer will make from it at most, so that later ones stay apart from those.
        """
        offset = self._kernel_count
        self._kernel_count += kernels
        return fresh(getattr(self, name), offset)

    def add_kernel(
        self, name: str, shape: tuple[int, ...], *, inputs: int = 1, parts: int | tuple[int, ...] = 1
    ) -> Any:
        """A kernel that starts with the spread of the matrix (inputs, outputs), with numbers of its own.

        Args:
            name: of the weight.
            shape: `(*ins, *outs)`.
            inputs: how many axes `ins` are.
            parts: how many kernels stand side by side along the first axis of `outs`, or how much of it each takes;
                they have numbers of their own.
        """
        copies = [self.fresh_initializer() for _ in range(parts if isinstance(parts, int) else len(parts))]
        return self.add_weight(
            name=name, shape=shape, initializer=by_fans(copies, inputs, parts), regularizer=self.kernel_regularizer
        )

    def add_bias(self, name: str, shape: tuple[int, ...]) -> Any:
        """A bias."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=self.fresh_initializer("bias_initializer"),
            regularizer=self.bias_regularizer,
        )

    def known_shape(self) -> tuple[int | None, ...] | None:
        """For `build`: the shape of its input, where the config gives the width; None where only inputs tell it."""
        return (*[None] * (len(self._inputs[0][0]) - 1), getattr(self, self._width)) if self._width else None

    def _check_width(self, *shapes: Any) -> None:
        for shape in shapes:
            if shape:
                self.require_width(shape, self._width)

    def require_width(self, shape: tuple[int | None, ...], name: str) -> None:
        """For `build`: the last axis of an input is as wide as a parameter says."""
        if shape[-1] != getattr(self, name):
            raise ConfigError(
                f"{type(self).__name__} {self.name!r} has {name}={getattr(self, name)}, "
                f"but its input has the shape {tuple(shape)}; the last axis must be {getattr(self, name)}"
            )

    # -- attention ------------------------------------------------------------------------------------------------

    def new_dropout(self, rate: str, apart: int = 0) -> Dropout:
        """A dropout layer.

        Args:
            rate: the parameter that is its rate.
            apart: dropouts of one layer that differ in it drop other places, also where the parameter `seed` is given.
        """
        seed = getattr(self, "seed", None)
        return Dropout(getattr(self, rate), seed=None if seed is None else seed ^ apart, dtype=self.dtype_policy)

    def attend(
        self, query: Any, key: Any, value: Any, allowed: Any, *, training: bool | None = None, **options: Any
    ) -> tuple[Any, Any]:
        """As `maskkit_keras.attend`, with the layer's dropout of weights."""
        dropout = None
        if self.weights_dropout is not None and self.weights_dropout.acts(training):
            dropout = partial(self.weights_dropout.drop, training=True)
        return attend(query, key, value, allowed, dropout=dropout, **options)

    def read(self, weights: Any, value: Any, training: bool | None = None) -> Any:
        """The second half of `attend`, for layers that make weights of their own.

        Args:
            weights: (batch, heads, queries, keys), of which the layer's dropout drops some.
            value: (batch, keys, heads, value width).
            training: whether dropout acts.

        Returns:
            (batch, queries, heads, value width).
        """
        if self.weights_dropout is not None:
            weights = self.weights_dropout.drop(weights, training)
        return ops.einsum("bhqs,bshv->bqhv", weights, value)


def declared_inputs(config: Attention) -> list[list[list[str]]]:
    """For every way to call a layer that `shapes` of its config declares, the axes of each input."""
    ways = [way.partition("->")[0] for way in config.shapes.split(";") if way.strip()]
    return [[[axis.strip() for axis in axes.split(",")] for axes in re.findall(r"\(([^)]*)\)", way)] for way in ways]


def _once(build: Callable[..., None]) -> Callable[..., None]:
    """A `build` that checks the width of inputs, and makes no weights again: loading builds what is built already."""

    @wraps(build)
    def once(self: AttentionLayer, *shapes: Any, **named: Any) -> None:
        if self._width:
            for given in (*shapes, *named.values()):
                self._check_width(*(given if given and isinstance(given[0], (list, tuple)) else [given]))
        if not self.built:
            build(self, *shapes, **named)

    return once


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _signature(config_class: type[Attention]) -> inspect.Signature:
    """The config's parameters, and Keras'; for `help()` and for completion."""
    order = list(maskkit.parameters(config_class))
    own = sorted(inspect.signature(config_class).parameters.values(), key=lambda p: order.index(p.name))
    options = (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in KERAS_OPTIONS)
    return inspect.Signature([*own, *options])


def custom_objects() -> dict[str, Any]:
    """All installed attention layers and masks, by the names under which `.keras` files know their classes.

        keras.saving.load_model(path, custom_objects=maskkit_keras.custom_objects())

    Needed for masks in layers of Keras' own, and for our layers where their modules were not imported before. A plugin
    that cannot be imported is left out.
    """
    layers = [info["class"] for info in maskkit.get_attention_info().values()]
    _ = maskkit.get_mask_info(), maskkit.stack, maskkit.grid, maskkit.from_array  # imports their classes
    return {keras.saving.get_registered_name(cls): cls for cls in (*maskkit.Mask.subclasses(), *layers)}
