"""The base of every attention layer: parameters from the light config, masks from every side, weights that start apart."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import keras
from keras import ops
from maskkit import configs
from maskkit.errors import ConfigError
from maskkit.item import KERAS_OPTIONS, Attention
from maskkit.keras.attend import attend
from maskkit.keras.kernels import by_fans, fresh
from maskkit.keras.masks import with_batch
from maskkit.mask import AttentionMask, Mask
from maskkit.validators import message


class Dropout(keras.layers.Dropout):  # type: ignore[misc]
    """Keras' dropout, whose rate may be 1 (Keras divides by the rest, which is then 0)."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Zeros at rate 1 while training, else as Keras."""
        return ops.zeros_like(inputs) if training and self.rate == 1 else super().call(inputs, training=training)


class AttentionLayer(keras.layers.Layer):  # type: ignore[misc]
    """Base class: `config_class` is the whole constructor, and every parameter is an attribute of the layer.

    Subclasses define `config_class`, `build` and `call`. An argument of `call` named `attention_mask` takes mask values;
    arguments `mask` and `<input>_mask` receive the masks that Keras carries along.
    """

    config_class: ClassVar[type[Attention]]

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if hasattr(cls, "config_class"):
            cls.__signature__ = _signature(cls.config_class)

    def __init__(self, **params: Any) -> None:
        options = {name: params.pop(name) for name in KERAS_OPTIONS if name in params}
        config = configs.build(self.config_class, params)
        super().__init__(**options)
        self.supports_masking = True
        self.config = config
        self._kernel_count = 0
        for name in configs.parameters(self.config_class):
            setattr(self, name, self._parameter(name, getattr(config, name)))

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
        own = {name: getattr(self.config, name) for name in configs.parameters(self.config_class)}
        if self.activity_regularizer is not None:
            own["activity_regularizer"] = keras.regularizers.serialize(self.activity_regularizer)
        return {**super().get_config(), **own}

    # -- masks ----------------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """As every Keras layer; mask values become arrays before Keras forgets that they are masks."""
        if "attention_mask" in kwargs and isinstance(kwargs["attention_mask"], Mask):
            kwargs["attention_mask"] = self._array_of(kwargs["attention_mask"], args[0] if args else None)
        kwargs.update(self._carried_masks(args, kwargs))
        return super().__call__(*args, **kwargs)

    def _array_of(self, mask: Mask, inputs: Any) -> Any:
        tokens = hasattr(inputs, "shape") and len(inputs.shape) == 3
        if tokens and not isinstance(mask, AttentionMask):
            raise ConfigError(
                f"Parameter 'attention_mask' must be a mask of queries and keys, got {mask!r} of shape {mask.shape}"
            )
        return with_batch(mask)

    def _carried_masks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The masks that the inputs carry, for arguments that were not given.

        Keras fills `mask` only if there is one tensor argument, and so drops it as soon as there is an `attention_mask`.
        """
        names = [name for name in self._call_signature.parameters if name not in ("args", "kwargs")]
        given = {**dict(zip(names, args, strict=False)), **kwargs}
        found = {}
        for name in names:
            source = names[0] if name == "mask" else name.removesuffix("_mask")
            if name != source and source in given and given.get(name) is None:
                mask = _map(lambda x: getattr(x, "_keras_mask", None), given[source])
                if mask is not None and not (isinstance(mask, list) and all(m is None for m in mask)):
                    found[name] = mask
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

    def add_kernel(self, name: str, shape: tuple[int, ...], *, inputs: int = 1, stacked: int | None = None) -> Any:
        """A kernel that starts with the spread of the matrix (inputs, outputs), with numbers of its own.

        Args:
            name: of the weight.
            shape: `(*ins, *outs)`, and one more axis if `stacked`.
            inputs: how many axes `ins` are.
            stacked: the axis along which several kernels stand side by side, each with numbers of its own.
        """
        count = 1 if stacked is None else shape[stacked]
        copies = [self.fresh_initializer() for _ in range(count)]
        return self.add_weight(
            name=name, shape=shape, initializer=by_fans(copies, inputs, stacked), regularizer=self.kernel_regularizer
        )

    def add_bias(self, name: str, shape: tuple[int, ...]) -> Any:
        """A bias."""
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=self.fresh_initializer("bias_initializer"),
            regularizer=self.bias_regularizer,
        )

    def require_width(self, shape: tuple[int | None, ...], name: str) -> None:
        """For `build`: the last axis of an input is as wide as a parameter says."""
        if shape[-1] != getattr(self, name):
            raise ConfigError(
                f"{type(self).__name__} {self.name!r} has {name}={getattr(self, name)}, "
                f"but its input has the shape {tuple(shape)}; the last axis must be {getattr(self, name)}"
            )

    # -- attention ------------------------------------------------------------------------------------------------

    def attend(
        self,
        query: Any,
        key: Any,
        value: Any,
        allowed: Any,
        *,
        training: bool | None = None,
        dropout: Dropout | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """As `maskkit.keras.attend`, with a dropout layer that acts while training."""
        return attend(query, key, value, allowed, dropout=dropping(dropout, training), **options)


def dropping(dropout: Dropout | None, training: bool | None) -> Callable[[Any], Any] | None:
    """What a dropout layer does now, or None if it does nothing."""
    if dropout is None or not training or not dropout.rate:
        return None
    return lambda weights: dropout(weights, training=True)


def _map(function: Callable[[Any], Any], value: Any) -> Any:
    return [function(v) for v in value] if isinstance(value, (list, tuple)) else function(value)


def _signature(config_class: type[Attention]) -> inspect.Signature:
    """The config's parameters, and Keras'; for `help()` and for completion."""
    own = inspect.signature(config_class).parameters.values()
    own = sorted(own, key=lambda p: list(configs.parameters(config_class)).index(p.name))
    options = (inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in KERAS_OPTIONS)
    return inspect.Signature([*own, *options])


def custom_objects() -> dict[str, Any]:
    """The classes of all installed attention layers, by the names under which `.keras` files know them.

        keras.saving.load_model(path, custom_objects=maskkit.keras.custom_objects())

    Needed only where the layers' modules were not imported before.
    """
    from maskkit.registry import registry

    classes = [registry.find(name).find_layer_class() for name in registry.full_names("attention")]  # type: ignore[attr-defined]
    return {keras.saving.get_registered_name(cls): cls for cls in classes}
