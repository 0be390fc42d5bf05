"""Sink: a query sees the first few tokens and those just before it."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, non_negative, positive


@frozen(kw_only=True)
class Sink(AttentionMask):
    """Query q may see the keys k <= q with k < num_sinks or k > q - window_size.

    The first tokens collect the attention that a softmax must put somewhere; a window without them loses fluency as
    soon as they leave it. The window does not count the sinks: the paper's "4+1020" is num_sinks=4, window_size=1020.

    Source: Xiao et al. 2023 (StreamingLLM), arXiv:2309.17453, section 3.2.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        window_size: number of keys that a query sees up to itself, itself included.
        num_sinks: number of leading tokens that every later query sees; 0 leaves the window alone.
    """

    name = "sink"
    samples = (
        dict(seq_len=16, window_size=4, num_sinks=2),
        dict(seq_len=12, window_size=3),
        dict(seq_len=6, window_size=2, num_sinks=9),
        dict(seq_len=9, window_size=4, num_sinks=0),
    )
    seq_len: int = field(validator=positive)
    window_size: int = field(validator=positive)
    num_sinks: int = field(default=4, validator=non_negative)

    def allows(self, q, k):
        return (k <= q) & ((k < self.num_sinks) | (k > q - self.window_size))

    @classmethod
    def recognize(cls, spans):
        if len(spans.shape) > 1 or len(spans) < 2:
            return None
        apart = np.flatnonzero((spans.lo[0] == 0) & (spans.lo[1] < spans.limit))  # rows that see sinks and a window
        if not len(apart):
            return None
        row = apart[-1]
        window = row + 1 - spans.lo[1, row]
        return (
            dict(seq_len=spans.limit, window_size=int(window), num_sinks=int(spans.hi[0, row])) if window > 0 else None
        )


@hookimpl
def maskkit_masks():
    return [Sink]
