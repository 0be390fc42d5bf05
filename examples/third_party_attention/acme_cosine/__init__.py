"""Cosine: attention by the angle between queries and keys."""

from attrs import field, frozen
from maskkit import hookimpl, lazy, multiple, positive
from maskkit_keras import TrainableAttention


@frozen(kw_only=True)
class Cosine(TrainableAttention):
    """Self-attention whose scores are the cosines between queries and keys, times `sharpness`.

    Source: Henry et al. 2020, arXiv:2010.04245, section 3, with a constant in place of the learnt scale.

    Attributes:
        width: of the tokens; a multiple of `heads`.
        heads: number of heads, each `width / heads` wide.
        sharpness: what the cosines are multiplied with.
    """

    name = "cosine"
    layer_class = "acme_cosine._layer:CosineAttention"
    samples = (dict(width=12, heads=3), dict(width=8, heads=1, sharpness=4.0))
    rules = (multiple("width", "heads"),)
    shapes = "(B, T, width) -> (B, T, width)"
    masks = ("keys", "causal", "pairs")
    use_case = "Tokens whose lengths say nothing"
    width: int = field(validator=positive)
    heads: int = field(default=4, validator=positive)
    sharpness: float = field(default=10.0, validator=positive)


@hookimpl
def maskkit_attention():
    return [Cosine]


__getattr__ = lazy(__name__, "CosineAttention")
