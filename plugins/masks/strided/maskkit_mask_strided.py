"""Strided: a query sees the tokens just before it, and every few tokens of all before those."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, positive


@frozen(kw_only=True)
class Strided(AttentionMask):
    """Query q may see the keys k <= q with q - k < stride, or with q - k a multiple of stride.

    The two heads of the paper in one mask: with a stride near the root of the length, any token reaches any later one
    in two steps.

    Source: Child et al. 2019 (Sparse Transformer), arXiv:1904.10509, section 4.2, strided attention.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        stride: length of the local part, and distance between the keys before it.
    """

    name = "strided"
    samples = (dict(seq_len=16, stride=4), dict(seq_len=11, stride=3), dict(seq_len=40, stride=1))
    seq_len: int = field(validator=positive)
    stride: int = field(validator=positive)

    def allows(self, q, k):
        back = q - k
        return (back >= 0) & ((back < self.stride) | (back % self.stride == 0))

    @property
    def intervals(self):
        return max((self.seq_len - 1) // self.stride, 1)

    def spans(self, q):
        columns = self.intervals
        local = np.maximum(q - self.stride, 0)  # with the first multiple, which adjoins the local part
        keys = np.add.outer(np.arange(columns) * self.stride, q % self.stride)
        # Single keys as long as they lie before the local part, then that, then nothing.
        behind = np.where(keys < local, keys + 1, np.where(keys < local + self.stride, q + 1, 0))
        return Spans.intervals(np.minimum(keys, local), behind)

    def reach(self, q):
        return Spans.interval(0, q + 1)

    @classmethod
    def recognize(cls, spans):
        row = spans.row((*(0 for _ in spans.shape[1:]), -1))
        return dict(seq_len=spans.limit, stride=row[1][0] - row[0][0]) if len(row) > 1 else None


@hookimpl
def maskkit_masks():
    return [Strided]
