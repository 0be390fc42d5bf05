"""Prefix LM: the prefix is seen by all, what follows is causal."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, array, as_array, by_content, hookimpl, host, non_negative, positive, take
from maskkit.arrays import is_array
from maskkit.validators import Rule, is_integer


def _as_length(value):
    """One length as an integer, lengths of samples as an array."""
    return int(value) if is_integer(value) else as_array(value)


def _not_negative(value):
    if not is_array(value):
        return is_integer(value) and non_negative.test(value)
    lengths = host(value) if _LENGTHS.test(value) else np.array([-1])
    return lengths is None or (lengths >= 0).all()  # those on a device are not waited for


_LENGTHS = array(ndim=1, dtype="integer")
_prefix = Rule("must be an integer from 0, or such integers (batch,)", _not_negative)


@frozen(kw_only=True)
class PrefixLM(AttentionMask):
    """Query q may see the keys of the prefix, 0 .. prefix_len - 1, and those up to itself, 0..q.

    Sources: Liu et al. 2018, arXiv:1801.10198; Raffel et al. 2020 (T5), arXiv:1910.10683, section 3.2.1.

    Attributes:
        seq_len: number of tokens, queries and keys alike, prefix included.
        prefix_len: number of tokens in the prefix; 0 is causal, seq_len or more allows everything. For each sample its
            own: integers (batch,) of any array library.
    """

    name = "prefix_lm"
    samples = (
        dict(seq_len=16, prefix_len=6),
        dict(seq_len=5, prefix_len=0),
        dict(seq_len=4, prefix_len=9),
        dict(seq_len=8, prefix_len=[3, 0, 8, 11]),
    )
    seq_len: int = field(validator=positive)
    prefix_len: Any = field(converter=_as_length, validator=_prefix, eq=by_content)

    @property
    def axes(self):
        """With a batch where the samples have prefixes of their own."""
        return ("batch", "query", "key") if is_array(self.prefix_len) else ("query", "key")

    @property
    def shape(self):
        batch = self.prefix_len.shape if is_array(self.prefix_len) else ()
        return (*batch, self.seq_len, self.seq_len)

    def allows(self, *index):
        *batch, q, k = index
        return (k <= q) | (k < (take(self.prefix_len, *batch) if batch else self.prefix_len))

    @classmethod
    def recognize(cls, spans):
        behind = np.where(spans.lo < spans.limit, spans.hi, 0).max(axis=0)[..., 0]  # of what the first row sees
        return dict(seq_len=spans.limit, prefix_len=behind if behind.ndim else int(behind))


@hookimpl
def maskkit_masks():
    return [PrefixLM]
