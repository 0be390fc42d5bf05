"""Dilated: a query sees every few tokens of a window."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive
from maskkit.validators import FieldRule


def _uneven_sides(config):
    """What is wrong with a window that has the query in its middle and an even number of keys."""
    size = config.window_size
    if config.causal or size % 2:
        return ""
    beside = f"{size - 1} and {size + 1} reach as far to both sides"
    return f"window_size must be odd where causal is False, got {size}; {beside}"


@frozen(kw_only=True)
class Dilated(AttentionMask):
    """Query q may see the keys q - j * dilation with 0 <= j < window_size, or with |j| <= window_size // 2.

    The first where causal is True (the default), the second where it is False.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1, "Dilated Sliding Window".

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        window_size: number of keys that a query sees, itself included; odd where causal is False.
        dilation: distance between neighbouring keys of the window; 1 leaves no gaps.
        causal: whether the window ends at the query; else the query is its middle.
    """

    name = "dilated"
    rules = (FieldRule(("window_size", "causal"), "must be odd where causal is False", _uneven_sides),)
    samples = (
        dict(seq_len=16, window_size=4, dilation=3),
        dict(seq_len=16, window_size=5, dilation=2, causal=False),
        dict(seq_len=8, window_size=3, dilation=1),
        dict(seq_len=70, window_size=40, dilation=2),
    )
    seq_len: int = field(validator=positive)
    window_size: int = field(validator=positive)
    dilation: int = field(validator=positive)
    causal: bool = True

    def allows(self, q, k):
        back = q - k
        ahead, behind = self._steps()
        within = (back >= -ahead * self.dilation) & (back <= behind * self.dilation)
        return within & (back % self.dilation == 0)

    def _steps(self):
        """The largest j of the formula to both sides, as far as the sequence reaches."""
        most = (self.seq_len - 1) // self.dilation
        ahead = 0 if self.causal else min(self.window_size // 2, most)
        behind = min(self.window_size - 1 if self.causal else self.window_size // 2, most)
        return ahead, behind

    @classmethod
    def recognize(cls, spans):
        rows = spans.reshape((int(np.prod(spans.shape)),))
        row = rows.row(int(rows.counts().argmax()))  # one that no end cuts, if there is one
        if not row:
            return None
        causal = bool((np.where(spans.lo < spans.limit, spans.hi, 0) <= np.arange(spans.limit) + 1).all())
        dilation = row[1][0] - row[0][0] if len(row) > 1 else 1
        size = int(rows.counts().max())
        size += not causal and size % 2 == 0
        return dict(seq_len=spans.limit, window_size=size, dilation=dilation, causal=causal)


@hookimpl
def maskkit_masks():
    return [Dilated]
