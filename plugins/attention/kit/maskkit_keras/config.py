"""What configs of attention layers share: the parameters of layers with kernels. Importing it imports no Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from maskkit import Attention
from maskkit.validators import Rule

initializer = Rule(
    "must be a Keras initializer, its name or its config", lambda value: isinstance(value, (str, Mapping))
)
regularizer = Rule(
    "must be a Keras regularizer, its name or its config, or None",
    lambda value: value is None or isinstance(value, (str, Mapping)),
)


def keras_config(value: Any) -> Any:
    """A converter for fields that hold Keras objects: the object's config; names, configs and None stay as they are."""
    if isinstance(value, (str, Mapping)) or not hasattr(value, "get_config"):
        return value
    import keras

    return keras.saving.serialize_keras_object(value)


@frozen(kw_only=True)
class TrainableAttention(Attention):
    """Config of an attention layer that has kernels.

    Attributes:
        kernel_initializer: how kernels start; each kernel gets numbers of its own, seeded or not.
        bias_initializer: how biases start.
        kernel_regularizer: adds a loss for kernels.
        bias_regularizer: adds a loss for biases.
    """

    kernel_initializer: Any = field(default="glorot_uniform", converter=keras_config, validator=initializer, hash=False)
    bias_initializer: Any = field(default="zeros", converter=keras_config, validator=initializer, hash=False)
    kernel_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)
    bias_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)
