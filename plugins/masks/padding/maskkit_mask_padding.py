"""Padding: nothing sees padding, and padding sees nothing."""

from functools import cached_property
from typing import Any

from attrs import field, frozen
from maskkit import AttentionMask, Spans, array, as_array, by_content, hookimpl, host, take


@frozen(kw_only=True)
class Padding(AttentionMask):
    """Sample b: query q may see key k if neither of them is padding.

    Attributes:
        padding_mask: booleans (batch, seq) of any array library, True where padding.
    """

    name = "padding"
    axes = ("batch", "query", "key")
    samples = (dict(padding_mask=[[False] * 5 + [True] * 3, [True] * 2 + [False] * 6, [True] * 8]),)
    padding_mask: Any = field(converter=as_array, validator=array(ndim=2, dtype="bool"), eq=by_content)

    @property
    def shape(self):
        batch, seq_len = self.padding_mask.shape
        return (batch, seq_len, seq_len)

    def allows(self, b, q, k):
        return ~(take(self.padding_mask, b, q) | take(self.padding_mask, b, k))

    @property
    def intervals(self):
        return len(self._runs)

    @cached_property
    def _runs(self):
        """The tokens of each sample, whoever asks."""
        return Spans.from_bool(~host(self.padding_mask))

    def spans(self, b, q):
        padding = host(self.padding_mask)
        return self._runs.take(b).only(~padding[b, q])


@hookimpl
def maskkit_masks():
    return [Padding]
