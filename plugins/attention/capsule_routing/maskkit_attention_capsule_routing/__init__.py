"""Capsule routing: heads and tokens agree on the scores before the softmax."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, optional, positive, rate, seed
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class CapsuleRouting(TrainableAttention):
    """Self-attention whose scores are refined by dynamic routing, over heads (vertical) and over tokens (horizontal).

    The scores are masked before routing: what is blocked casts no vote, nor does a query that may see nothing; nor,
    where tokens route, one that a mask of rank 2 drops. Positional routing takes the votes of a token and of those
    before it, so nothing leaks under a causal mask. Without it all vote on all, and `use_causal_mask` is refused;
    a causal mask given as an array then hides keys, but not votes.

    Source: Duan et al. 2020, arXiv:2004.14649; routing: Sabour et al. 2017, arXiv:1710.09829, procedure 1.

    Attributes:
        num_heads: number of heads.
        key_dim: width of each head's queries and keys; None is the inputs' width divided by `num_heads`.
        value_dim: width of each head's values; None is that of the keys.
        routing_iterations: number of rounds of routing.
        dropout: share of attention weights dropped while training, 0 to 1.
        use_bias: whether the projections have biases.
        use_vertical_routing: whether heads route.
        use_horizontal_routing: whether tokens route.
        use_positional_routing: whether horizontal routing looks only at a token and what came before it.
        epsilon: under the root of the squashed vector's length.
        seed: of the dropout; None draws one.
    """

    name = "capsule_routing"
    layer_class = "maskkit_attention_capsule_routing._layer:CapsuleRoutingSelfAttention"
    samples = (
        dict(num_heads=3),
        dict(num_heads=2, key_dim=4, value_dim=3, routing_iterations=2, dropout=0.1, use_bias=False),
        dict(num_heads=2, key_dim=4, use_positional_routing=False),
        dict(num_heads=2, key_dim=4, use_vertical_routing=False, use_horizontal_routing=False),
    )
    shapes = "(B, T, C) -> (B, T, C)"
    row_local = False
    use_case = "Experiments with heads and tokens that agree on what matters"
    num_heads: int = field(validator=positive)
    key_dim: int | None = field(default=None, validator=optional(positive))
    value_dim: int | None = field(default=None, validator=optional(positive))
    routing_iterations: int = field(default=3, validator=positive)
    dropout: float = field(default=0.0, validator=rate)
    use_bias: bool = True
    use_vertical_routing: bool = True
    use_horizontal_routing: bool = True
    use_positional_routing: bool = True
    epsilon: float = field(default=1e-8, validator=positive)
    seed: int | None = field(default=None, validator=optional(seed))

    @property
    def routes_everywhere(self):
        """Whether later tokens have a vote on earlier ones."""
        return self.use_horizontal_routing and not self.use_positional_routing

    @property
    def masks(self):
        """A causal mask would not keep the votes of later tokens out."""
        return ("keys", "pairs") if self.routes_everywhere else ("keys", "causal", "pairs")


@hookimpl
def maskkit_attention():
    return [CapsuleRouting]


__getattr__ = lazy(__name__, "CapsuleRoutingSelfAttention")
