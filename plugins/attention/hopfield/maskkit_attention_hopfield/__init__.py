"""Hopfield: queries move towards stored patterns before they read."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, non_negative, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Hopfield(TrainableAttention):
    """Attention whose queries are replaced by what they retrieve among the keys, several times, before values are read.

    With `update_steps_max=0` it is multi-head attention. A head of a sample stops early once an update changes its
    weights by `update_steps_eps` or less (Frobenius norm over its queries and keys). Tokens that a mask of rank 2 drops
    do not count in self-attention, and with `use_causal_mask` only the queries up to each count for it.

    Source: Ramsauer et al. 2020, arXiv:2008.02217, equation 3.

    Attributes:
        num_heads: number of heads.
        key_dim: width of each head's queries and keys.
        value_dim: width of each head's values; None is `key_dim`.
        update_steps_max: how often queries are replaced at most.
        update_steps_eps: change of a head's weights at which its updates stop, above 0.
        dropout_rate: share of attention weights dropped while training, 0 to 1, after the last update.
        beta: what scores are multiplied with (inverse temperature), above 0; None is `key_dim ** -0.5`.
        normalize_patterns: whether queries, keys and values go through a layer norm each before they are projected.
        norm_epsilon: of the layer norms.
        use_bias: whether the projections have biases.
        seed: of the dropout; None draws one.
    """

    name = "hopfield"
    layer_class = "maskkit_attention_hopfield._layer:HopfieldAttention"
    samples = (
        dict(num_heads=3, key_dim=4),
        dict(num_heads=2, key_dim=4, update_steps_max=2),
        dict(
            num_heads=2,
            key_dim=4,
            value_dim=3,
            update_steps_max=3,
            dropout_rate=0.1,
            beta=0.7,
            normalize_patterns=True,
            use_bias=False,
        ),
    )
    shapes = "(B, T, C) -> (B, T, C)"
    masks = ("keys", "causal", "pairs")
    use_case = "Associative memory: retrieve stored patterns from parts of them"
    num_heads: int = field(validator=positive)
    key_dim: int = field(validator=positive)
    value_dim: int | None = field(default=None, validator=optional(positive))
    update_steps_max: int = field(default=0, validator=non_negative)
    update_steps_eps: float = field(default=1e-4, validator=positive)
    dropout_rate: float = field(default=0.0, validator=rate)
    beta: float | None = field(default=None, validator=optional(positive))
    normalize_patterns: bool = False
    norm_epsilon: float = field(default=1e-5, validator=positive)
    use_bias: bool = True
    seed: int | None = field(default=None, validator=optional(seed))


@hookimpl
def maskkit_attention():
    return [Hopfield]


__getattr__ = lazy(__name__, "HopfieldAttention")
