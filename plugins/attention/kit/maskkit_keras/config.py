"""What configs of attention layers share: the parameters of layers with kernels. Importing it imports no Keras."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from inspect import get_annotations
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


_WIDTH = ("embed_dim", "dim", "d_model")
_HEADS = ("num_heads", "n_head")
_DROPOUT = ("dropout_rate", "dropout")
_WEIGHTS_DROPOUT = ("attention_dropout", "attn_dropout_rate")


def common_spellings(names: Collection[str]) -> dict[str, str]:
    """For parameters of these names, what else layers call them: spelling -> name.

    One dropout is that of the attention weights; where the weights have one of their own, `dropout` is another.
    """
    single = not set(names) & set(_WEIGHTS_DROPOUT)
    groups = [_WIDTH, _HEADS, *([_DROPOUT + _WEIGHTS_DROPOUT] if single else [_DROPOUT, _WEIGHTS_DROPOUT])]
    own = [[name for name in group if name in names] for group in groups]
    return {
        spelling: found[0]
        for group, found in zip(groups, own, strict=True)
        if len(found) == 1
        for spelling in group
        if spelling != found[0]
    }


@frozen(kw_only=True)
class TrainableAttention(Attention):
    """Config of an attention layer that has kernels. Width, heads and dropout may be spelt as other layers do.

    Attributes:
        kernel_initializer: how kernels start; each kernel gets numbers of its own, seeded or not.
        bias_initializer: how biases start.
        kernel_regularizer: adds a loss for kernels.
        bias_regularizer: adds a loss for biases.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        if "aliases" not in vars(cls):
            cls.aliases = common_spellings({name for base in cls.__mro__ for name in get_annotations(base)})
        super().__init_subclass__(**options)

    kernel_initializer: Any = field(default="glorot_uniform", converter=keras_config, validator=initializer, hash=False)
    bias_initializer: Any = field(default="zeros", converter=keras_config, validator=initializer, hash=False)
    kernel_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)
    bias_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)
