"""Adaptive multi-head: attention that sharpens itself where its weights are spread."""

from attrs import field, frozen
from maskkit import ConfigError, at_most, hookimpl, lazy, non_negative, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


def _sizes(config, attribute, value):
    """None, a positive integer, or several."""
    for size in () if value is None else (value,) if isinstance(value, int) else value or (0,):
        if size < 1:
            raise ConfigError(f"Parameter '{attribute.name}' must be positive, or None, got {value}")


def _axes(config, attribute, value):
    """None, or axes that differ and are not the batch."""
    axes = () if value is None else (value,) if isinstance(value, int) else value
    if value is not None and (not axes or 0 in axes or len(set(axes)) < len(axes)):
        raise ConfigError(
            f"Parameter '{attribute.name}' must be axes between the batch (0) and the channels (the last), each once, "
            f"or None, got {value}"
        )


def _coefficients(config, attribute, value):
    if value is not None and not value:
        raise ConfigError(f"Parameter '{attribute.name}' must have at least one number, or be None, got {value}")


@frozen(kw_only=True)
class AdaptiveMultiHead(TrainableAttention):
    """Multi-head attention whose temperature falls where the entropy of the weights is high.

    With `H` the entropy (in nats) of a query's weights among the keys that it may see, the scores are multiplied by
    `clip(P(H), 1 / max_temp, 1 / min_temp)` where `H > entropy_threshold`, and the softmax is taken again. The
    published polynomial P falls below 1 at 5.94 nats, about 380 keys of equal weight: from there on, with `max_temp=1`,
    this is plain attention.

    Source: Veličković et al. 2024, arXiv:2410.01104 (adaptive temperature).
    Attention: Vaswani et al. 2017, arXiv:1706.03762.

    Attributes:
        num_heads: number of heads.
        key_dim: width of each head's queries and keys.
        value_dim: width of each head's values; None is `key_dim`.
        dropout: share of attention weights dropped while training, 0 to 1.
        min_temp: lowest temperature, above 0.
        max_temp: highest temperature, `min_temp` or more.
        entropy_threshold: queries whose weights have this entropy (in nats) or less are left alone.
        polynomial_coeffs: of P, the highest power first; None is the published polynomial.
        use_bias: whether the projections have biases.
        output_shape: width of the output, or sizes of its last axes; None is the width of the queries.
        attention_axes: axes of the inputs to attend over, others go along with the batch; None is all between batch and
            channels.
        seed: of the dropout; None draws one.
    """

    name = "adaptive_multi_head"
    layer_class = "maskkit_attention_adaptive_multi_head._layer:AdaptiveMultiHeadAttention"
    samples = (
        dict(num_heads=3, key_dim=4),
        dict(num_heads=2, key_dim=4, value_dim=3, min_temp=0.5, max_temp=2.0, output_shape=7, dropout=0.1),
        dict(num_heads=2, key_dim=4, use_bias=False, entropy_threshold=0.2, polynomial_coeffs=(1.0, 0.5)),
    )
    rules = (at_most("min_temp", "max_temp"),)
    masks = ("keys", "causal", "pairs")
    use_case = "Attention that must stay sharp on sequences longer than those of training"
    num_heads: int = field(validator=positive)
    key_dim: int = field(validator=positive)
    value_dim: int | None = field(default=None, validator=optional(positive))
    dropout: float = field(default=0.0, validator=rate)
    min_temp: float = field(default=0.1, validator=positive)
    max_temp: float = field(default=1.0, validator=positive)
    entropy_threshold: float = field(default=0.5, validator=non_negative)
    polynomial_coeffs: tuple[float, ...] | None = field(default=None, validator=_coefficients)
    use_bias: bool = True
    output_shape: int | tuple[int, ...] | None = field(default=None, validator=_sizes)
    attention_axes: int | tuple[int, ...] | None = field(default=None, validator=_axes)
    seed: int | None = field(default=None, validator=optional(seed))

    @property
    def shapes(self):
        """Self-attention, values of their own, keys of their own."""
        out = "C" if self.output_shape is None else str(self.output_shape).strip("()")
        ways = ("(B, T, C)", "(B, T, C), (B, S, D)", "(B, T, C), (B, S, D), (B, S, D)")
        return "; ".join(f"{inputs} -> (B, T, {out})" for inputs in ways)


@hookimpl
def maskkit_attention():
    return [AdaptiveMultiHead]


__getattr__ = lazy(__name__, "AdaptiveMultiHeadAttention")
