"""Query padding: padded queries see nothing."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit_mask_key_padding import flags, is_real, padding_rules
from maskkit import AttentionMask, array, as_array, by_content, hookimpl, optional, positive, take


@frozen(kw_only=True)
class QueryPadding(AttentionMask):
    """Sample b: the queries that are real, the first lengths[b] or where valid[b] is 1, may see every key, others none.

    Nothing is said of the keys: `key_padding` blocks those, and `padding` both.

    Source: `attention_mask` of Hugging Face transformers, read along the queries.

    Attributes:
        lengths: integers (batch,) of any array library, the real queries of each sample, 0..seq_len, padding behind.
        valid: booleans or integers 0 and 1, (batch, queries), of any array library: 1 where real, as a tokenizer's
            attention_mask. Either this or lengths.
        seq_len: number of queries, padding included; known where valid is given.
        k_len: number of keys; None is as many as queries.
    """

    name = "query_padding"
    axes = ("batch", "query", "key")
    rules = padding_rules
    samples = (
        dict(lengths=[5, 8, 2], seq_len=8),
        dict(lengths=[0, 3], seq_len=3),
        dict(lengths=[3, 1], seq_len=4, k_len=6),
        dict(valid=[[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]),
        dict(valid=[[True, False, True]], k_len=2),
    )
    lengths: Any = field(
        default=None, converter=as_array, validator=optional(array(ndim=1, dtype="integer")), eq=by_content
    )
    valid: Any = field(default=None, converter=as_array, validator=optional(flags), eq=by_content)
    seq_len: int | None = field(default=None, validator=optional(positive))
    k_len: int | None = field(default=None, validator=optional(positive))

    @property
    def shape(self):
        batch, queries = (*self.lengths.shape, self.seq_len) if self.valid is None else self.valid.shape
        return (batch, queries, self.k_len or queries)

    def allows(self, b, q, k):
        real = q < take(self.lengths, b) if self.valid is None else is_real(self.valid, b, q)
        return real & (k >= 0)  # every k; it gives the answer its shape

    @classmethod
    def recognize(cls, spans):
        valid = (spans.counts() > 0).reshape(-1, spans.shape[-1])
        lengths = valid.sum(axis=1)
        k_len = None if spans.limit == valid.shape[1] else spans.limit
        if (valid == (np.arange(valid.shape[1]) < lengths[:, None])).all():
            return dict(lengths=lengths, seq_len=valid.shape[1], k_len=k_len)
        return dict(valid=valid.astype(np.int64), k_len=k_len)


@hookimpl
def maskkit_masks():
    return [QueryPadding]
