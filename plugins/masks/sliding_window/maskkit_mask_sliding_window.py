"""Sliding window: a query sees itself and the few tokens before it."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive


@frozen(kw_only=True)
class SlidingWindow(AttentionMask):
    """Query q may see keys q - window_size + 1 .. q.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1; causal as in Jiang et al. 2023
    (Mistral 7B), arXiv:2310.06825, section 2.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        window_size: number of keys that a query sees, itself included.
    """

    name = "sliding_window"
    samples = (dict(seq_len=16, window_size=4), dict(seq_len=8, window_size=20))
    seq_len: int = field(validator=positive)
    window_size: int = field(validator=positive)

    def allows(self, q, k):
        return (k <= q) & (k > q - self.window_size)

    @classmethod
    def recognize(cls, spans):
        first = spans.lo[0]
        back = (np.arange(spans.limit) - first)[first < spans.limit]
        return dict(seq_len=spans.limit, window_size=max(int(back.max(initial=0)), 0) + 1)


@hookimpl
def maskkit_masks():
    return [SlidingWindow]
