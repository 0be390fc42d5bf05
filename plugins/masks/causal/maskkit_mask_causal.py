"""Causal: a query sees itself and what came before it."""

from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class Causal(AttentionMask):
    """Query q may see keys 0..q.

    Source: Vaswani et al. 2017, arXiv:1706.03762, section 3.2.3.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
    """

    name = "causal"
    samples = (dict(seq_len=16),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return k <= q

    @classmethod
    def recognize(cls, spans):
        return dict(seq_len=spans.limit)


@hookimpl
def maskkit_masks():
    return [Causal]
