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
    """A mask of one text, for queries whose text begins somewhere in the row: its keys follow each other from there.

    What is before and behind the text is taken for more of it. The axes are batch, then those of the mask.

    Attributes:
        base: the mask of a text: (query, key), or (head, query, key).
        position: integers (batch, queries), of each query in its text; negative where it is in none, and sees nothing.
        start: integers (batch, queries), the key at position 0 of the query's text; it may lie outside of the row,
            where a text does not begin at 0 or a cache has dropped its first keys.
        keys: number of keys.
    """

    name = "in_texts"
    base: Mask
    position: Any = field(converter=as_array, eq=by_content)
    start: Any = field(converter=as_array, eq=by_content)
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
        """Whether the base allows it, at their positions in the text."""
        *head, q, k = index
        place = k - take(self.start, b, q)
        inside = (place >= 0) & (place < self.base.shape[-1])
        seen = self.base.allows(*head, take(self._inside, b, q), place * inside)
        return (take(self.position, b, q) >= 0) & inside & seen

    def spans(self, b: Any, *rows: Any) -> Spans | None:
        """Those of the base, moved to where the text is."""
        *head, q = rows
        position, start, inside = (host(x)[b, q] for x in (self.position, self.start, self._inside))
        found = self.base.found((*head, inside), False)
        if found is None:
            return None
        found = found.within(self.base.shape[-1], np.broadcast_shapes(*(np.shape(row) for row in (b, *rows))))
        empty = found.lo >= found.hi
        moved = Spans.intervals(np.where(empty, 0, found.lo + start), np.where(empty, 0, found.hi + start))
        return moved.only(np.broadcast_to(position >= 0, moved.shape))

    @property
    def intervals(self) -> int:
        """As many as the base's."""
        return self.base.intervals

    @cached_property
    def _inside(self) -> Ints:
        return np.maximum(self.position, 0)


@frozen(eq=False)
class Texts:
    """The texts of a batch of rows.

    Attributes:
        text: integers (batch, tokens), which text of its row each token belongs to; -1 is none, it is padding.
        position: integers (batch, tokens), of each token in its text.
    """

    text: Ints
    position: Ints

    @classmethod
    def of_padding(cls, real: npt.NDArray[np.bool_]) -> Texts:
        """One text in each row: its real tokens (batch, tokens), whatever is before, behind or between them."""
        return cls(real.astype(np.int64) - 1, np.cumsum(real, axis=1) - 1)

    @cached_property
    def places(self) -> Ints:
        """The position of each token, -1 where it is padding."""
        return np.where(self.text >= 0, self.position, -1)

    @cached_property
    def length(self) -> int:
        """Of the longest text."""
        return max(0, int(self.places.max())) + 1

    @cached_property
    def several(self) -> bool:
        """Whether a row has more than one text."""
        return bool((self.text > 0).any())

    @cached_property
    def whole(self) -> bool:
        """Whether each text is a run of tokens without a gap, whose positions run on."""
        goes_on = (self.text[:, 1:] == self.text[:, :-1]) & (self.text[:, 1:] >= 0)
        runs = (self.text[:, 0] >= 0) + ((self.text[:, 1:] >= 0) & ~goes_on).sum(1)
        texts = np.array([len(np.unique(row[row >= 0])) for row in self.text])
        return bool((np.diff(self.position, axis=1) == 1)[goes_on].all() and (runs == texts).all())

    def lay(self, base: Mask, rows: slice, columns: slice) -> Mask:
        """A mask of one text, at least as long as the longest, for the queries `rows` and the keys `columns`.

        That texts of a row do not see each other, nor padding, other masks must say.
        """
        if not self.whole:
            return base.at(query=self.places[:, rows], key=self.places[:, columns])
        start = np.arange(self.text.shape[1]) - self.position - columns.start
        keys = columns.stop - columns.start
        return InTexts(base=base, position=self.places[:, rows], start=start[:, rows], keys=keys)

    def apart(self, rows: slice, columns: slice) -> Mask:
        """Every token sees those of its own text."""
        keys = self.text[:, columns]
        return Document(ids=self.text[:, rows], key_ids=np.where(keys < 0, -2, keys))
