"""Banded: a query sees the tokens near it, on both sides."""

from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, positive


@frozen(kw_only=True)
class Banded(AttentionMask):
    """Query q may see the keys with |q - k| <= band_width // 2.

    Source: Beltagy et al. 2020 (Longformer), arXiv:2004.05150, section 3.1.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        band_width: width of the band in tokens; an even width counts as the odd one above it.
    """

    name = "banded"
    samples = (dict(seq_len=16, band_width=5), dict(seq_len=8, band_width=40))
    period = 1
    seq_len: int = field(validator=positive)
    band_width: int = field(validator=positive)

    def allows(self, q, k):
        return abs(q - k) <= self.band_width // 2

    def spans(self, q):
        reach = self.band_width // 2
        return Spans.interval(q - reach, q + reach + 1)


@hookimpl
def maskkit_masks():
    return [Banded]
