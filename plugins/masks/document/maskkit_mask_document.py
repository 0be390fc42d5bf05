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
    limits,
    optional,
    take,
)
from maskkit.validators import FieldRule

_LENGTHS = optional(array(ndim=1, dtype="integer"))
_IDS = optional(array(ndim=(1, 2), dtype="integer"))


def _beside(name, axis, what):
    """A rule: `key_<name>` stands beside `name` alone, with as many entries along an axis."""

    def problem(config):
        own, keys = getattr(config, name), getattr(config, f"key_{name}")
        if keys is None:
            return ""
        if own is None:
            return f"key_{name} is for documents given by {name}, which are not given"
        if len(own.shape) == len(keys.shape) and own.shape[:axis] == keys.shape[:axis]:
            return ""
        return f"{name} and key_{name} must have {what}, got shapes {tuple(own.shape)} and {tuple(keys.shape)}"

    return FieldRule((f"key_{name}", name), f"must have {what} as {name}", problem)


@frozen(kw_only=True)
class Document(AttentionMask):
    """Query q may see key k if both belong to one document; `& causal` makes it causal inside of each.

    The documents are given by their lengths, or by an id for each token. Tokens of equal id see each other wherever
    they stand. No id is special: padding with an id of its own sees padding, and nothing else sees it. For cross
    attention the keys have lengths or ids of their own.

    Source: Krell et al. 2021, arXiv:2107.02027, section 3.2.

    Attributes:
        lengths: integers (documents,) in host memory, tokens of each document in order; their sum is the length of the
            sequence.
        ids: integers (seq,) or (batch, seq) of any array library, the document of each token.
        key_lengths: the same of the keys, where they are others than the queries: as many documents as lengths.
        key_ids: the same of the keys, where they are others than the queries: as many samples as ids.
    """

    name = "document"
    rules = (
        exactly_one("lengths", "ids", hint="lengths=[2, 1] and ids=[0, 0, 1] mean the same two documents"),
        _beside("lengths", 1, "the same number of documents"),
        _beside("ids", -1, "the same batch"),
    )
    samples = (
        dict(lengths=[5, 3, 8]),
        dict(ids=[[0, 0, 1, 1, 1, 2], [7, 7, 7, -1, -1, -1]]),
        dict(ids=[0, 1, 1, 0, 2, 1, 1]),
        dict(lengths=[2, 0, 3], key_lengths=[4, 2, 0]),
        dict(ids=[[0, 0, 1], [1, 0, 2]], key_ids=[[1, 1, 0, 0], [0, 1, 1, 9]]),
    )
    lengths: Any = field(default=None, converter=as_array, validator=_LENGTHS, eq=by_content)
    ids: Any = field(default=None, converter=as_array, validator=_IDS, eq=by_content)
    key_lengths: Any = field(default=None, converter=as_array, validator=_LENGTHS, eq=by_content)
    key_ids: Any = field(default=None, converter=as_array, validator=_IDS, eq=by_content)

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        for name in ("lengths", "key_lengths"):
            if getattr(self, name) is not None:
                _check_lengths(name, host(getattr(self, name)))

    @property
    def axes(self):
        """With a batch where the ids have one."""
        return ("batch", "query", "key")[3 - len(self.shape) :]

    @property
    def shape(self):
        return (*self._ids.shape, self._key_ids.shape[-1])

    def allows(self, *index):
        *batch, q, k = index
        return take(self._ids, *batch, q) == take(self._key_ids, *batch, k)

    def spans(self, *rows):
        return self.reach(*rows) if self._extents[2] else None

    def reach(self, *rows):
        first, behind, _ = self._extents
        return Spans.interval(first[rows], behind[rows])

    @cached_property
    def _ids(self):
        return self.ids if self.lengths is None else _numbered(self.lengths)

    @cached_property
    def _key_ids(self):
        if self.key_ids is None and self.key_lengths is None:
            return self._ids
        return self.key_ids if self.lengths is None else _numbered(self.key_lengths)

    @cached_property
    def _extents(self):
        """Of each query's document the first key and the one behind the last, and whether all between are its own."""
        ids, key_ids = host(self._ids), host(self._key_ids)
        samples = zip(*(one.reshape(-1, one.shape[-1]) for one in (ids, key_ids)), strict=True)
        first, behind, whole = zip(*(_extents_of(*sample) for sample in samples), strict=True)
        return np.reshape(first, ids.shape), np.reshape(behind, ids.shape), all(whole)

    @classmethod
    def recognize(cls, spans):
        samples = int(np.prod(spans.shape[:-1]))
        flat = spans.reshape((samples, spans.shape[-1]))
        ids = np.stack([_joined(flat.lo[:, b], flat.hi[:, b], spans.limit) for b in range(samples)])
        if spans.shape[-1] != spans.limit:
            first = flat.lo[0]  # a query is of the document of its first key
            own = np.where(first < spans.limit, np.take_along_axis(ids, first % spans.limit, axis=1), -1)
            return dict(ids=own.reshape(spans.shape), key_ids=ids.reshape(*spans.shape[:-1], -1))
        if len(spans.shape) > 1:
            return dict(ids=ids)
        start, end = _runs(ids[0])
        return dict(lengths=end - start) if len(start) == len(np.unique(ids)) else dict(ids=ids[0])


def _numbered(lengths):
    """The number of its document for each token."""
    return np.repeat(np.arange(len(lengths)), host(lengths).astype(np.int64))


def _extents_of(ids, key_ids):
    """The same for one sequence; everything between the first step and the last is done on runs of equal ids."""
    start, end = _runs(key_ids)
    known, document = np.unique(key_ids[start], return_inverse=True)
    first, behind = np.zeros((2, len(known) + 1), start.dtype)  # the last is of what no key belongs to: empty
    first[document[::-1]] = start[::-1]  # of several runs the last one written stays
    behind[document] = end
    query_start, query_end = _runs(ids)
    wanted = ids[query_start]
    place = np.searchsorted(known, wanted)
    place[known.take(place, mode="clip") != wanted] = len(known)
    size = query_end - query_start
    return np.repeat(first[place], size), np.repeat(behind[place], size), len(known) == len(start)


def _runs(ids):
    """Where runs of equal ids begin, and behind where they end."""
    start = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
    return start, np.append(start[1:], len(ids))


def _joined(lo, hi, tokens):
    """An id for each key: equal for all that see each other, or are seen together, straight or by way of others.

    `lo` and `hi` (intervals, queries) are what each query sees of so many tokens.
    """
    own = np.arange(tokens) if lo.shape[1] == tokens else np.minimum(lo[0], tokens - 1)  # keys alone, where they differ
    row = np.broadcast_to(own, lo.shape)[lo < hi]
    lo, hi = lo[lo < hi], hi[lo < hi]
    inside = np.bincount(lo, minlength=tokens + 1) - np.bincount(hi - 1, minlength=tokens + 1)
    step = np.cumsum(inside)[: tokens - 1] <= 0  # no interval goes on from a token to the next
    ids = np.append(0, np.cumsum(step))
    while True:  # every token and what it sees take the lowest id of both
        lowest = np.arange(ids.max() + 1)
        pair = np.minimum(ids[row], ids[lo])
        np.minimum.at(lowest, ids[row], pair)
        np.minimum.at(lowest, ids[lo], pair)
        if (lowest[ids] == ids).all():
            return np.unique(ids, return_inverse=True)[1]
        ids = lowest[ids]


def _check_lengths(name, lengths):
    if lengths is None:
        raise ConfigError(
            f"{name} must be in host memory and not traced, for the sequence length is their sum; "
            f"give {name.replace('lengths', 'ids')} instead"
        )
    for i in (lengths < 0).nonzero()[0]:
        raise ConfigError(f"{name} must not be negative, got {lengths[i]} for document {i}")
    total = sum(lengths.tolist())
    if not total:
        raise ConfigError(f"{name} must have a positive sum, got 0")
    limits.check_rows(total, f"a mask of these {name}")


@hookimpl
def maskkit_masks():
    return [Document]
