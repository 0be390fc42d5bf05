"""Document: tokens see the tokens of their own document, where several are packed into one sequence."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import (
    AttentionMask,
    ConfigError,
    Spans,
    array,
    as_array,
    by_content,
    exactly_one,
    hookimpl,
    host,
    optional,
    take,
)

_INTEGERS = optional(array(ndim=1, dtype="integer"))


@frozen(kw_only=True)
class Document(AttentionMask):
    """Query q may see key k if both belong to one document; `& causal` makes it causal inside of each.

    The documents are given by their lengths, or by an id for each token. Tokens of equal id see each other wherever
    they stand. No id is special: padding with an id of its own sees padding, and nothing else sees it.

    Source: Krell et al. 2021, arXiv:2107.02027, section 3.2.

    Attributes:
        lengths: integers (documents,) in host memory, tokens of each document in order; their sum is the length of the
            sequence.
        ids: integers (seq,) or (batch, seq) of any array library, the document of each token.
    """

    name = "document"
    rules = (exactly_one("lengths", "ids", hint="lengths=[2, 1] and ids=[0, 0, 1] mean the same two documents"),)
    samples = (
        dict(lengths=[5, 3, 8]),
        dict(ids=[[0, 0, 1, 1, 1, 2], [7, 7, 7, -1, -1, -1]]),
        dict(ids=[0, 1, 1, 0, 2, 1, 1]),
    )
    lengths: Any = field(default=None, converter=as_array, validator=_INTEGERS, eq=by_content)
    ids: Any = field(
        default=None, converter=as_array, validator=optional(array(ndim=(1, 2), dtype="integer")), eq=by_content
    )

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        if self.lengths is not None:
            _check_lengths(host(self.lengths))

    @cached_property
    def _ids(self):
        return self.ids if self.lengths is None else np.repeat(np.arange(len(self.lengths)), host(self.lengths))

    @property
    def axes(self):
        return ("batch", "query", "key")[-1 - len(self._ids.shape) :]

    @property
    def shape(self):
        *batch, seq_len = self._ids.shape
        return (*batch, seq_len, seq_len)

    def allows(self, *index):
        *batch, q, k = index
        return take(self._ids, *batch, q) == take(self._ids, *batch, k)

    def spans(self, *rows):
        return self.reach(*rows) if self._extents[2] else None

    def reach(self, *rows):
        first, behind, _ = self._extents
        return Spans.interval(first[rows], behind[rows])

    @cached_property
    def _extents(self):
        """The first token of each token's document, the one behind its last, and whether no other lies between them."""
        ids = host(self._ids)
        first, behind, whole = zip(*map(_extents_of, ids.reshape(-1, ids.shape[-1])), strict=True)
        return np.reshape(first, ids.shape), np.reshape(behind, ids.shape), all(whole)


def _extents_of(ids):
    """The same for one sequence; everything between the first step and the last is done on runs of equal ids."""
    start = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    end = np.append(start[1:], len(ids))
    known, document = np.unique(ids[start], return_inverse=True)
    first, behind = np.empty((2, len(known)), start.dtype)
    first[document[::-1]] = start[::-1]  # of several runs the last one written stays
    behind[document] = end
    return np.repeat(first[document], end - start), np.repeat(behind[document], end - start), len(known) == len(start)


def _check_lengths(lengths):
    if lengths is None:
        raise ConfigError(
            "lengths must be in host memory and not traced, for the sequence length is their sum; give ids instead"
        )
    for i in (lengths < 0).nonzero()[0]:
        raise ConfigError(f"lengths must not be negative, got {lengths[i]} for document {i}")
    if not lengths.sum():
        raise ConfigError("lengths must have a positive sum, got 0")


@hookimpl
def maskkit_masks():
    return [Document]
