"""Window: a query sees so many tokens before it and so many after it."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive
from maskkit.validators import Rule

_reach = Rule("must be -1, for all, or a number from 0", lambda tokens: -1 <= tokens < 2**62, number=True)


@frozen(kw_only=True)
class Window(AttentionMask):
    """Query q may see the keys q - left .. q + right; -1 stands for all on that side.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1, for windows; the pair is `window_size` of
    FlashAttention's `flash_attn_func`.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        left: number of tokens before the query that it sees, 0 for none, -1 for all.
        right: number of tokens after the query that it sees, 0 for none, -1 for all.
    """

    name = "window"
    samples = (
        dict(seq_len=16, left=4, right=1),
        dict(seq_len=9, left=-1, right=2),
        dict(seq_len=8, left=0, right=-1),
        dict(seq_len=5, left=-1, right=-1),
        dict(seq_len=6, left=0, right=0),
    )
    seq_len: int = field(validator=positive)
    left: int = field(validator=_reach)
    right: int = field(validator=_reach)

    def allows(self, q, k):
        left, right = self._reaches
        return (q - k <= left) & (k - q <= right)

    @property
    def _reaches(self):
        """Both numbers of tokens, where all are as many as the sequence has."""
        return tuple(self.seq_len if reach < 0 else reach for reach in (self.left, self.right))

    @classmethod
    def recognize(cls, spans):
        n, own = spans.limit, np.arange(spans.limit)
        left = int(np.where(spans.lo[0] < n, own - spans.lo[0], 0).max(initial=0))
        right = int((np.where(spans.lo < n, spans.hi, 0).max(axis=0) - 1 - own).max(initial=0))
        return dict(seq_len=n, left=left if left < n - 1 else -1, right=right if right < n - 1 else -1)


@hookimpl
def maskkit_masks():
    return [Window]
