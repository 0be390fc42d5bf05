"""Padding: nothing sees padding, and padding sees nothing."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import evolve, field, frozen
from maskkit_mask_key_padding import KeyPadding, flags, is_real
from maskkit import AttentionMask, Spans, array, as_array, by_content, exactly_one, hookimpl, host, optional, take
from maskkit.arrays import is_array

_booleans = array(ndim=2, dtype="bool")


def _way_out(value):
    """What to write instead, of numbers."""
    numbers = is_array(value) and 0 not in value.shape and "int" in str(value.dtype)
    words = "; where 1 is real, as a tokenizer has it, write valid=; where 1 is padding, padding_mask == 1"
    return words if numbers else _booleans.hint(value)


@frozen(kw_only=True)
class Padding(AttentionMask):
    """Sample b: query q may see key k if neither of them is padding.

    Source: the arguments `src_key_padding_mask` of `torch.nn.TransformerEncoderLayer`, which blocks the keys alone, and
    `attention_mask` of Hugging Face transformers, the other way round.

    Attributes:
        padding_mask: booleans (batch, seq) of any array library, True where padding.
        valid: booleans or integers 0 and 1, (batch, seq), of any array library: 1 where real, as a tokenizer's
            attention_mask. Either this or padding_mask.
    """

    name = "padding"
    axes = ("batch", "query", "key")
    rules = (exactly_one("padding_mask", "valid", hint="padding_mask is True for padding, valid is 1 for real tokens"),)
    samples = (
        dict(padding_mask=[[False] * 5 + [True] * 3, [True] * 2 + [False] * 6, [True] * 8]),
        dict(valid=[[1, 1, 1, 0], [0, 1, 0, 1]]),
    )
    padding_mask: Any = field(
        default=None, converter=as_array, validator=evolve(_booleans, hint=_way_out, none=True), eq=by_content
    )
    valid: Any = field(default=None, converter=as_array, validator=optional(flags), eq=by_content)

    @property
    def shape(self):
        batch, seq_len = (self.padding_mask if self.valid is None else self.valid).shape
        return (batch, seq_len, seq_len)

    def allows(self, b, q, k):
        return self._is_real(b, q) & self._is_real(b, k)

    @property
    def intervals(self):
        return len(self._runs)

    def spans(self, b, q):
        return self._runs.take(b).only(self._host_real[b, q])

    def _is_real(self, b, token):
        return ~take(self.padding_mask, b, token) if self.valid is None else is_real(self.valid, b, token)

    @cached_property
    def _host_real(self):
        """Which tokens are real, as booleans on the host."""
        return ~host(self.padding_mask) if self.valid is None else host(self.valid) == 1

    @cached_property
    def _runs(self):
        """The tokens of each sample, whoever asks."""
        return Spans.from_bool(self._host_real)

    @classmethod
    def recognize(cls, spans):
        keys = KeyPadding(**KeyPadding.recognize(spans)).allowed()[:, 0]
        queries = (spans.counts() > 0).reshape(keys.shape)
        return dict(valid=(keys | queries).astype(np.int64))


@hookimpl
def maskkit_masks():
    return [Padding]
