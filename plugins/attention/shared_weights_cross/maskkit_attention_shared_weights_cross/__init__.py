"""Shared-weights cross: two groups of tokens read each other through one set of weights."""

from typing import ClassVar

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, optional, positive, rate, seed
from maskkit.validators import Rule, is_integer
from maskkit_keras import TrainableAttention


def _are_sizes(value):
    return value is None or (len(value) in (2, 4) and all(is_integer(size) and size >= 0 for size in value))


group_sizes = Rule("must be 2 or 4 integers that are not negative, or None", _are_sizes)


@frozen(kw_only=True)
class SharedWeightsCross(TrainableAttention):
    """Cross-attention in both directions between two groups of one sequence: A reads B, and B reads A.

    With four sizes each group is anchors and then queries, and only the anchors of the other group are read. Groups are
    sets, so there is no causal mask. A group that has nothing to read gets the output bias.

    Source: AB-UPT, Alkin et al. 2025, arXiv:2502.09692 (cross-branch attention with shared weights).

    Attributes:
        dim: width of the tokens; a multiple of `num_heads`.
        num_heads: number of heads, each `dim / num_heads` wide.
        dropout_rate: share of attention weights dropped while training, 0 to 1.
        split_sizes: sizes of the groups where the call gives none: of A and B, or of A's anchors, A's queries, B's
            anchors and B's queries; 0 is a size.
        use_bias: whether the projections have biases.
        seed: of the dropout; None draws one.
    """

    name = "shared_weights_cross"
    layer_class = "maskkit_attention_shared_weights_cross._layer:SharedWeightsCrossAttention"
    samples = (
        dict(dim=12, num_heads=3, split_sizes=(2, 4)),
        dict(dim=8, num_heads=2, split_sizes=(2, 1, 1, 2), dropout_rate=0.1, use_bias=False),
    )
    rules = (multiple("dim", "num_heads"),)
    shapes = "(B, S, dim) -> (B, S, dim)"
    sizes: ClassVar = {"S": 6}
    masks = ("keys", "pairs")
    use_case = "Two modalities or branches that exchange information"
    dim: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)
    dropout_rate: float = field(default=0.0, validator=rate)
    split_sizes: tuple[int, ...] | None = field(default=None, validator=group_sizes)
    use_bias: bool = True
    seed: int | None = field(default=None, validator=optional(seed))


@hookimpl
def maskkit_attention():
    return [SharedWeightsCross]


__getattr__ = lazy(__name__, "SharedWeightsCrossAttention")
