"""Prefix LM: the prefix is seen by all, what follows is causal."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, non_negative, positive


@frozen(kw_only=True)
class PrefixLM(AttentionMask):
    """Query q may see the keys of the prefix, 0 .. prefix_len - 1, and those up to itself, 0..q.

    Sources: Liu et al. 2018, arXiv:1801.10198; Raffel et al. 2020 (T5), arXiv:1910.10683, section 3.2.1.

    Attributes:
        seq_len: number of tokens, queries and keys alike, prefix included.
        prefix_len: number of tokens in the prefix; 0 is causal, seq_len or more allows everything.
    """

    name = "prefix_lm"
    samples = (dict(seq_len=16, prefix_len=6), dict(seq_len=5, prefix_len=0), dict(seq_len=4, prefix_len=9))
    seq_len: int = field(validator=positive)
    prefix_len: int = field(validator=non_negative)

    def allows(self, q, k):
        return (k <= q) | (k < self.prefix_len)

    def spans(self, q):
        return Spans.interval(0, np.maximum(q + 1, self.prefix_len))


@hookimpl
def maskkit_masks():
    return [PrefixLM]
