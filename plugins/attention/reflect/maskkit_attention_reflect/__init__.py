"""Reflect: self-attention at its smallest, one head and three square kernels."""

from typing import Any

from attrs import field, frozen
from maskkit import Attention, hookimpl, lazy
from maskkit_keras import initializer, keras_config, regularizer


@frozen(kw_only=True)
class Reflect(Attention):
    """Single-head self-attention with square kernels for queries, keys and values, as wide as the tokens.

    There is no output projection and no bias: `3 * width ** 2` weights in all. Scores are scaled by `width ** -0.5`.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1, with one head.

    Attributes:
        kernel_initializer: how kernels start; each of query, key and value gets numbers of its own.
        kernel_regularizer: adds a loss for kernels.
    """

    name = "reflect"
    layer_class = "maskkit_attention_reflect._layer:ReflectAttention"
    samples = (dict(), dict(kernel_initializer="he_normal", kernel_regularizer="l2"))
    shapes = "(B, T, C) -> (B, T, C)"
    masks = ("keys", "causal", "pairs")
    use_case = "Small models, and examples in which every weight can be looked at"
    kernel_initializer: Any = field(default="glorot_uniform", converter=keras_config, validator=initializer, hash=False)
    kernel_regularizer: Any = field(default=None, converter=keras_config, validator=regularizer, hash=False)


@hookimpl
def maskkit_attention():
    return [Reflect]


__getattr__ = lazy(__name__, "ReflectAttention")
