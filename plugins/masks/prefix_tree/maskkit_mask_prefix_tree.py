"""Prefix tree: packed sequences that share their beginnings, each token seeing its own path."""

from functools import cached_property
from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, ConfigError, Spans, array, as_array, by_content, hookimpl, host, limits, one_of, take

_SHOWN = 16
"""Up to so many segments a message gives their order."""


@frozen(kw_only=True)
class PrefixTree(AttentionMask):
    """A token may see its own segment up to itself, and all segments that its own continues.

    Sequences that begin alike are packed with every common beginning once: a prompt with its completions, turns of a
    conversation with their alternatives, drafts to verify. A segment continues its parent; the path from a root to a
    leaf is one of the sequences. Several roots are packed side by side. Segments come depth-first, each with all that
    continues it before the next one: then the queries that see a key are one interval.

    Source: Yao et al. 2024 (DeFT), arXiv:2404.00242, for attention over trees whose nodes are segments.

    Attributes:
        lengths: integers (segments,) in host memory, the tokens of each segment; their sum is the length.
        parents: integers (segments,) in host memory, the segment that each one continues, before it; -1 for roots.
    """

    name = "prefix_tree"
    samples = (
        dict(lengths=[4, 3, 2, 3], parents=[-1, 0, 0, 0]),
        dict(lengths=[2, 2, 1, 2, 1, 3, 1], parents=[-1, 0, 1, 1, 0, -1, 5]),
        dict(lengths=[2, 0, 1, 0, 2], parents=[-1, 0, 1, 0, 3]),
        dict(lengths=[5], parents=[-1]),
    )
    lengths: Any = field(converter=as_array, validator=array(ndim=1, dtype="integer"), eq=by_content)
    parents: Any = field(converter=as_array, validator=array(ndim=1, dtype="integer"), eq=by_content)

    def __attrs_post_init__(self):
        super().__attrs_post_init__()
        _check(host(self.lengths), host(self.parents))

    @property
    def shape(self):
        tokens = int(self._start[-1])
        return (tokens, tokens)

    def allows(self, q, k):
        return (k <= q) & (q < take(self._end_of_subtree, k))

    @property
    def intervals(self):
        return len(self._path[0])

    def spans(self, q):
        first, behind = (ends[:, self._segment[q]] for ends in self._path)
        return Spans.intervals(first, np.minimum(behind, q + 1))  # of all segments on the path, only the own one is cut

    def positions(self):
        """Where each token stands on its own path, int64 (tokens,): 0 at every root, for position embeddings."""
        before = np.zeros(len(self._parents), np.int64)
        for segment, parent in enumerate(self._parents):
            if parent >= 0:
                before[segment] = before[parent] + host(self.lengths)[parent]
        return (before - self._start[:-1])[self._segment] + np.arange(self.shape[0])

    def loss_weights(self, shared="once"):
        """How much each token counts in a loss, float32 (tokens,).

        Args:
            shared: how often a token counts that several sequences share: "once", or "each" for once in every one of
                them, as if they were not packed.

        Raises:
            ConfigError: shared is neither of the two.
        """
        one_of("once", "each").check("shared", shared)
        if shared == "once":
            return np.ones(self.shape[0], np.float32)
        below = np.zeros(len(self._parents), np.int64)
        for segment in reversed(range(len(self._parents))):  # children before their parents
            below[segment] = max(below[segment], 1)
            if self._parents[segment] >= 0:
                below[self._parents[segment]] += below[segment]
        return below[self._segment].astype(np.float32)

    @cached_property
    def _parents(self):
        return host(self.parents).tolist()

    @cached_property
    def _start(self):
        """The first token of each segment, and the number of tokens."""
        return np.concatenate([[0], np.cumsum(host(self.lengths), dtype=np.int64)])

    @cached_property
    def _segment(self):
        """The segment of each token."""
        return np.repeat(np.arange(len(self._parents)), host(self.lengths).astype(np.int64))

    @cached_property
    def _end_of_subtree(self):
        """For each token the one behind all that continue its segment."""
        last = np.arange(len(self._parents))
        for segment in reversed(range(len(last))):
            if self._parents[segment] >= 0:
                last[self._parents[segment]] = max(last[self._parents[segment]], last[segment])
        return self._start[1:][last][self._segment]

    @cached_property
    def _path(self):
        """The tokens of each segment and of all it continues: intervals `(intervals, segments)`, first and behind."""
        paths = []
        for segment, parent in enumerate(self._parents):
            first, behind = self._start[segment : segment + 2].tolist()
            path = list(paths[parent]) if parent >= 0 else []
            if path and path[-1][1] == first:
                first, _ = path.pop()
            paths.append([*path, (first, behind)])
        table = np.zeros((2, max(map(len, paths)), len(paths)), np.int64)
        for segment, path in enumerate(paths):
            table[:, : len(path), segment] = np.transpose(path)
        return table

    @classmethod
    def recognize(cls, spans):
        if len(spans.shape) > 1:
            return None
        own = np.arange(spans.limit)
        before = np.where(spans.lo < own, np.minimum(spans.hi, own), 0).max(axis=0) - 1  # the last key before the row
        counts = spans.counts()  # of a path, which is that of its parent and one more
        if (counts != np.where(before >= 0, counts[before] + 1, 1)).any() or not spans.contains(own).all():
            return None
        children = np.bincount(before[before >= 0], minlength=spans.limit)
        starts = (before != own - 1) | (children[before] > 1) | (before < 0)
        first = np.flatnonzero(starts)
        segment = np.cumsum(starts) - 1
        parents = np.where(before[first] < 0, -1, segment[before[first]])
        return dict(lengths=np.diff(np.append(first, spans.limit)), parents=parents)


def _check(lengths, parents):
    """Raise what is wrong with a tree."""
    if lengths is None or parents is None:
        raise ConfigError("lengths and parents must be in host memory and not traced, for the shape hangs on them")
    if len(lengths) != len(parents):
        raise ConfigError(f"parents must have an entry for each of the {len(lengths)} segments, got {len(parents)}")
    for segment in (lengths < 0).nonzero()[0]:
        raise ConfigError(f"lengths must not be negative, got {lengths[segment]} for segment {segment}")
    total = sum(lengths.tolist())
    if not total:
        raise ConfigError("lengths must have a positive sum, got 0")
    limits.check_rows(total, "a mask of these lengths")
    for segment in ((parents < -1) | (parents >= np.arange(len(parents)))).nonzero()[0]:
        parent = parents[segment]
        why = f"got {parent} for segment {segment}"
        if parent >= 0:
            why += ", itself" if parent == segment else ", which does not stand before it"
        raise ConfigError(f"parents must be -1 for a root, or a segment before their own, {why}")
    _check_order(parents.tolist())


def _check_order(parents):
    """Raise where a segment does not follow its parent's other descendants, in depth-first order."""
    path = []
    for segment, parent in enumerate(parents):
        while path and path[-1] != parent:
            path.pop()
        if parent >= 0 and not path:
            order = f": {_depth_first(parents)}" if len(parents) <= _SHOWN else ""
            raise ConfigError(
                f"segments must come depth-first, but segment {segment} continues {parent}, and segment {segment - 1} "
                f"before it does not; pack them in an order in which each is followed by all that continues it{order}"
            )
        path.append(segment)


def _depth_first(parents):
    """The segments in depth-first order, those beside each other as they come."""
    order, to_do = [], [-1]
    while to_do:
        segment = to_do.pop()
        order.append(segment)
        to_do += [child for child in reversed(range(len(parents))) if parents[child] == segment]
    return order[1:]


@hookimpl
def maskkit_masks():
    return [PrefixTree]
