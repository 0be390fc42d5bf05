"""Key padding: no query sees the padding of its sample."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import (
    AttentionMask,
    Spans,
    array,
    as_array,
    by_content,
    exactly_one,
    hookimpl,
    host,
    optional,
    positive,
    take,
    within,
)
from maskkit.arrays import is_array
from maskkit.validators import FieldRule, Rule

# -- what the masks of padding share ----------------------------------------------------------------------------------

_MATRICES = array(ndim=2, dtype="bool"), array(ndim=2, dtype="integer")


def _are_flags(value):
    if not any(kind.test(value) for kind in _MATRICES):
        return False
    numbers = host(value)  # those on a device are not waited for
    return numbers is None or bool(((numbers == 0) | (numbers == 1)).all())


def _way_out(value):
    """What to write instead, of numbers that are not 0 and 1."""
    numbers = host(value) if is_array(value) else None
    if numbers is None or not numbers.size or numbers.dtype.kind not in "biuf":
        return _MATRICES[0].hint(value)
    if numbers.ndim != 2:
        return "; give a row for each sample: valid[None] for one" if numbers.ndim == 1 else ""
    if numbers.dtype.kind == "f":
        return "; write valid == 1 for it"
    sample, token = np.argwhere((numbers != 0) & (numbers != 1))[0]
    return f": {numbers[sample, token]} for token {token} of sample {sample}; of token ids write ids != pad_token_id"


flags = Rule("must be booleans, or integers 0 and 1, (batch, tokens)", _are_flags, hint=_way_out)
"""Which tokens are real, as a tokenizer's attention_mask says it: 1 is real."""


def is_real(valid, b, token):
    """Whether a token of a sample is real, for predicates."""
    real = take(valid, b, token)
    return real if "bool" in str(valid.dtype) else real == 1


def _number_of_tokens(config):
    """What is wrong with seq_len: lengths require it, and where valid says it too they agree."""
    if config.lengths is not None and config.seq_len is None:
        return f"seq_len required for {config.name.replace('_', ' ')} mask"
    if config.valid is None or config.seq_len in (None, config.valid.shape[1]):
        return ""
    return f"valid must have seq_len ({config.seq_len}) tokens, got {config.valid.shape[1]}; leave seq_len out"


padding_rules = (
    exactly_one("lengths", "valid", hint="lengths=[2], seq_len=3 and valid=[[1, 1, 0]] mean the same"),
    FieldRule(("seq_len", "lengths", "valid"), "must be given with lengths", _number_of_tokens),
    within("lengths", 0, "seq_len"),
)
"""Of masks with the fields lengths, valid and seq_len."""


# -- the mask ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class KeyPadding(AttentionMask):
    """Sample b: every query may see the keys that are real: the first lengths[b], or where valid[b] is 1.

    Unlike `padding`, padded queries see what the others see, so that only a sample without any real token has rows that
    are fully blocked.

    Source: the argument `key_padding_mask` of `torch.nn.MultiheadAttention`, the other way round.

    Attributes:
        lengths: integers (batch,) of any array library, the real tokens of each sample, 0..seq_len, padding behind.
        valid: booleans or integers 0 and 1, (batch, keys), of any array library: 1 where real, as a tokenizer's
            attention_mask. Either this or lengths.
        seq_len: number of keys, padding included; known where valid is given.
        q_len: number of queries; None is as many as keys.
    """

    name = "key_padding"
    axes = ("batch", "query", "key")
    rules = padding_rules
    samples = (
        dict(lengths=[5, 8, 2], seq_len=8),
        dict(lengths=[0, 3], seq_len=3),
        dict(lengths=[3, 1], seq_len=4, q_len=6),
        dict(valid=[[1, 1, 1, 0], [0, 1, 0, 1], [0, 0, 0, 0]]),
        dict(valid=[[True, False, True]], q_len=2),
    )
    lengths: Any = field(
        default=None, converter=as_array, validator=optional(array(ndim=1, dtype="integer")), eq=by_content
    )
    valid: Any = field(default=None, converter=as_array, validator=optional(flags), eq=by_content)
    seq_len: int | None = field(default=None, validator=optional(positive))
    q_len: int | None = field(default=None, validator=optional(positive))

    @property
    def shape(self):
        batch, keys = (*self.lengths.shape, self.seq_len) if self.valid is None else self.valid.shape
        return (batch, self.q_len or keys, keys)

    def allows(self, b, q, k):
        real = k < take(self.lengths, b) if self.valid is None else is_real(self.valid, b, k)
        return real & (q >= 0)  # every q; it gives the answer its shape

    @property
    def intervals(self):
        return 1 if self.valid is None else len(self._runs)

    def spans(self, b, q):
        return Spans.interval(0, host(self.lengths)[b]) if self.valid is None else self._runs.take(b)

    @cached_property
    def _runs(self):
        """The real tokens of each sample, whoever asks."""
        return Spans.from_bool(host(self.valid) == 1)

    @classmethod
    def recognize(cls, spans):
        n, shape = spans.limit, (-1, spans.shape[-1])
        valid = np.zeros((spans.lo[0].reshape(shape).shape[0], n), np.bool_)
        for sample, seen in enumerate(valid):
            lo, hi = (ends.reshape(len(spans), *shape)[:, sample].ravel() for ends in (spans.lo, spans.hi))
            seen[:] = np.cumsum(np.bincount(lo, minlength=n + 1) - np.bincount(hi, minlength=n + 1))[:n] > 0
        lengths, q_len = valid.sum(axis=1), None if spans.shape[-1] == n else spans.shape[-1]
        if (valid == (np.arange(n) < lengths[:, None])).all():
            return dict(lengths=lengths, seq_len=n, q_len=q_len)
        return dict(valid=valid.astype(np.int64), q_len=q_len)


@hookimpl
def maskkit_masks():
    return [KeyPadding]
