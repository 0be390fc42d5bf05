"""Banded: a query sees the tokens near it, on both sides."""

import numpy as np
from attrs import evolve, field, frozen
from maskkit import AttentionMask, hookimpl, odd, positive


def _neighbours(width):
    """The widths that are possible beside an even one."""
    return f"; the band reaches equally far to both sides: {width - 1} or {width + 1}" if width > 0 else ""


@frozen(kw_only=True)
class Banded(AttentionMask):
    """Query q may see the keys with |q - k| <= (band_width - 1) / 2.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        band_width: width of the band in tokens, the query's own in the middle; odd.
    """

    name = "banded"
    samples = (dict(seq_len=16, band_width=5), dict(seq_len=8, band_width=41))
    seq_len: int = field(validator=positive)
    band_width: int = field(validator=evolve(odd, hint=_neighbours))

    def allows(self, q, k):
        return abs(q - k) <= self.band_width // 2

    @classmethod
    def recognize(cls, spans):
        n, own = spans.limit, np.arange(spans.limit)
        far = np.maximum(own - spans.lo, spans.hi - 1 - own)[spans.lo < n]
        return dict(seq_len=n, band_width=2 * int(far.max(initial=0)) + 1)


@hookimpl
def maskkit_masks():
    return [Banded]
