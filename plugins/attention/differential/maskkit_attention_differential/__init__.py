"""Differential: one attention map minus another, so that noise common to both cancels."""

import math

from attrs import field, frozen
from maskkit import hookimpl, lazy, non_negative, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Differential(TrainableAttention):
    """Each head attends twice, and the second map, times a learned lambda, is taken off the first.

    The paper's number of parameters is reached with `head_dim = dim / (2 * num_heads)`; other widths are fine.

    Source: Ye et al. 2024, arXiv:2410.05258, section 2.1.

    Attributes:
        dim: width of the tokens.
        num_heads: number of heads, each with two maps.
        head_dim: width of queries and keys of each of the two maps of a head.
        value_dim: width of each head's values; None is `2 * head_dim`.
        dropout: share of the outputs dropped while training, 0 to 1.
        attention_dropout: share of attention weights dropped while training, 0 to 1, from each map on its own.
        lambda_init: lambda at the start, 0 to 1; `1 - lambda_init` multiplies the normalised heads.
        layer_idx: the layer's place in its stack, from 0; if given, lambda_init is `0.8 - 0.6 * exp(-0.3 * layer_idx)`.
        use_bias: whether the projections of queries, keys and values have biases.
        proj_bias: whether the output projection has a bias.
        sub_norm: whether each head is RMS-normalised (with a gain that the heads share) and multiplied by
            `1 - lambda_init`.
        norm_epsilon: of that norm.
        seed: of the dropouts; None draws one.
    """

    name = "differential"
    layer_class = "maskkit_attention_differential._layer:DifferentialMultiHeadAttention"
    samples = (
        dict(dim=12, num_heads=2, head_dim=3),
        dict(dim=8, num_heads=3, head_dim=4, value_dim=5, layer_idx=2, use_bias=True, proj_bias=True, dropout=0.1),
        dict(dim=8, num_heads=2, head_dim=4, sub_norm=False, lambda_init=0.5, attention_dropout=0.1),
    )
    shapes = "(B, T, dim) -> (B, T, dim)"
    masks = ("keys", "causal", "pairs")
    use_case = "Language models that should heed what matters in long contexts"
    dim: int = field(validator=positive)
    num_heads: int = field(validator=positive)
    head_dim: int = field(validator=positive)
    value_dim: int | None = field(default=None, validator=optional(positive))
    dropout: float = field(default=0.0, validator=rate)
    attention_dropout: float = field(default=0.0, validator=rate)
    lambda_init: float = field(default=0.8, validator=rate)
    layer_idx: int | None = field(default=None, validator=optional(non_negative))
    use_bias: bool = False
    proj_bias: bool = False
    sub_norm: bool = True
    norm_epsilon: float = field(default=1e-5, validator=positive)
    seed: int | None = field(default=None, validator=optional(seed))

    @property
    def lambda_start(self):
        """`lambda_init`, or what the layer's place makes of it."""
        return self.lambda_init if self.layer_idx is None else 0.8 - 0.6 * math.exp(-0.3 * self.layer_idx)


@hookimpl
def maskkit_attention():
    return [Differential]


__getattr__ = lazy(__name__, "DifferentialMultiHeadAttention")
