"""Where the tokens of a batch stand in their texts, and masks of one text laid over all texts of a batch."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit_mask_document import Document
from maskkit import AttentionMask, Mask, Spans, as_array, by_content, host, take

Ints = npt.NDArray[np.int64]


@frozen(kw_only=True)
class InTexts(AttentionMask):
    """A mask of one text, in each of the texts that stand in the rows of a batch; between them nothing is allowed.

    Every text is a run of keys without a gap. The axes are batch, then those of the mask.

    Attributes:
        base: the mask of a text, as long as the longest: (query, key), or (head, query, key).
        position: integers (batch, queries), of each query in its text; negative where it is in none, and sees nothing.
        start: integers (batch, queries), the key that position 0 of the query's text is, or would be: it may be
            negative, where a text does not begin at 0 or a cache has dropped its first keys.
        first, behind: integers (batch, queries), the first key of the query's text, and the one behind its last.
        keys: number of keys.
    """

    name = "in_texts"
    base: Mask
    position: Any = field(converter=as_array, eq=by_content)
    start: Any = field(converter=as_array, eq=by_content)
    first: Any = field(converter=as_array, eq=by_content)
    behind: Any = field(converter=as_array, eq=by_content)
    keys: int

    @property
    def axes(self) -> tuple[str, ...]:
        """Batch, then those of the base."""
        return ("batch", *self.base.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Batch, heads where the base has them, queries, keys."""
        batch, queries = self.position.shape
        return (batch, *self.base.shape[:-2], queries, self.keys)

    def allows(self, b: Any, *index: Any) -> Any:
        """Whether the base allows it, at their positions in one text."""
        *head, q, k = index
        start, first, behind, position = (take(x, b, q) for x in (self.start, self.first, self.behind, self._inside))
        there = (k - start) * ((k >= first) & (k < behind))  # any place of the base, of what is outside
        seen = (take(self.position, b, q) >= 0) & (k >= first) & (k < behind)
        return seen & self.base.allows(*head, position, there)

    def spans(self, b: Any, *rows: Any) -> Spans | None:
        """Those of the base, moved to the text and cut to it."""
        *head, q = rows
        start, first, behind, position = (host(x)[b, q] for x in (self.start, self.first, self.behind, self._inside))
        found = self.base.found((*head, position), False)
        if found is None:
            return None
        found = found.within(self.base.shape[-1], np.broadcast_shapes(*(np.shape(row) for row in (b, *rows))))
        lo = np.maximum(found.lo + start, first)
        hi = np.minimum(np.where(found.lo < found.hi, found.hi + start, first), behind)
        return Spans.intervals(lo, hi).only(np.broadcast_to(host(self.position)[b, q] >= 0, lo.shape[1:]))

    @property
    def intervals(self) -> int:
        """As many as the base's."""
        return self.base.intervals

    @cached_property
    def _inside(self) -> Ints:
        return np.maximum(self.position, 0)

    @property
    def parts(self) -> tuple[Mask, ...]:
        """The base."""
        return (self.base,)


@frozen(eq=False)
class Texts:
    """The texts of a batch of rows.

    Attributes:
        text: integers (batch, tokens), which text of its row each token belongs to; -1 is none, it is padding.
        position: integers (batch, tokens), of each token in its text, from 0.
    """

    text: Ints
    position: Ints

    @classmethod
    def of_padding(cls, real: npt.NDArray[np.bool_]) -> Texts:
        """One text in each row: its real tokens (batch, tokens), whatever is before, behind or between them."""
        return cls(real.astype(np.int64) - 1, np.cumsum(real, axis=1) - 1)

    @cached_property
    def length(self) -> int:
        """Of the longest text."""
        return int(np.max(self.position, where=self.text >= 0, initial=0)) + 1

    @cached_property
    def several(self) -> bool:
        """Whether a row has more than one text."""
        return bool((self.text > 0).any())

    @cached_property
    def _goes_on(self) -> npt.NDArray[np.bool_]:
        """Whether a token is of the text of the one before it: (batch, tokens - 1)."""
        return (self.text[:, 1:] == self.text[:, :-1]) & (self.text[:, 1:] >= 0)

    @cached_property
    def whole(self) -> bool:
        """Whether each text is a run of tokens without a gap, whose positions run on."""
        begins = (self.text[:, 1:] >= 0) & ~self._goes_on
        count = begins.sum(1) + (self.text[:, 0] >= 0)
        known = np.array([len(np.unique(row[row >= 0])) for row in self.text])
        return bool((np.diff(self.position, axis=1) == 1)[self._goes_on].all() and (count == known).all())

    def lay(self, base: Mask, rows: slice, columns: slice) -> Mask:
        """A mask of one text, at least as long as the longest, for the queries `rows` and the keys `columns`."""
        if self.whole:
            return self._in_texts(base, rows, columns)
        position = np.where(self.text >= 0, self.position, -1)
        laid = base.at(query=position[:, rows], key=position[:, columns])
        return laid & self.apart(rows, columns) if self.several else laid

    def apart(self, rows: slice, columns: slice) -> Mask:
        """Every token sees those of its own text."""
        keys = self.text[:, columns]
        return Document(ids=self.text[:, rows], key_ids=np.where(keys < 0, -2, keys))

    def _in_texts(self, base: Mask, rows: slice, columns: slice) -> Mask:
        first, behind = np.zeros((2, *self.text.shape), np.int64)
        for b, row in enumerate(self.text):
            edge = np.flatnonzero(np.append(True, ~self._goes_on[b]))
            ends = np.append(edge[1:], len(row))
            first[b], behind[b] = (np.repeat(one, ends - edge) for one in (edge, ends))
        start = first - np.take_along_axis(self.position, first, 1)
        first, behind, start = (x[:, rows] - columns.start for x in (first, behind, start))
        position = np.where(self.text >= 0, self.position, -1)[:, rows]
        keys = columns.stop - columns.start
        return InTexts(base=base, position=position, start=start, first=np.maximum(first, 0), behind=behind, keys=keys)
