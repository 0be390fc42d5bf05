"""Masks made of masks that lie beside each other: `maskkit.stack`, `maskkit.direct_sum` and `maskkit.grid`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, reduce
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit.arrays.indices import maximum, minimum, take
from maskkit.errors import ConfigError
from maskkit.masks.algebra import Several, of_one_dtype
from maskkit.masks.axes import HEADS, LEADING, own_index, plane_ids, sizes, together
from maskkit.masks.given import of_spans
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.spans import Spans
from maskkit.validators import one_of, shown

# -- along an axis of heads or samples --------------------------------------------------------------------------------


@frozen
class Stack(Several, AttentionMask):
    """Masks along an axis of their own; those that are equal are held, and computed, once."""

    name = form = "stack"
    axis: str
    of: tuple[int, ...]  # which part each head or sample has

    @cached_property
    def sizes(self) -> dict[str, int]:
        found = together(self.parts, "stack") | {self.axis: len(self.of)}
        return {axis: found[axis] for axis in HEADS if axis in found}

    def _which(self, index: tuple[Any, ...]) -> Any:
        """The part of each index; a number where all have the same."""
        place = index[self.axes.index(self.axis)]
        return take(self._of, place)

    @cached_property
    def _of(self) -> npt.NDArray[np.int64]:
        return np.array(self.of)

    def allows(self, *index: Any) -> Any:
        which, axes = self._which(index), self.axes
        found = ((which == i) & part.allows(*own_index(part, axes, index)) for i, part in enumerate(self.parts))
        return reduce(lambda a, b: a | b, found)

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        which = self._which(rows)
        shape = np.broadcast_shapes(*(np.shape(row) for row in rows))
        chosen = []
        for i in np.unique(which).tolist():
            spans = self._found_of(self.parts[i], rows, loose)
            if spans is None:
                return None
            chosen.append(spans.only(np.broadcast_to(which == i, shape)))
        return Spans.union(chosen)

    @property
    def plane_ids(self) -> npt.NDArray[np.int64]:
        axes, shape = self.axes, self.shape
        ids = np.stack([plane_ids(part, axes, shape) for part in self.parts])
        place = axes.index(self.axis)
        which = np.expand_dims(self._of, tuple(i for i in range(len(shape) - 2) if i != place))
        own = np.take_along_axis(ids, np.broadcast_to(which, shape[:-2])[None], 0)[0]
        found: npt.NDArray[np.int64] = own + which * (ids.max() + 1)
        return found

    def __repr__(self) -> str:
        texts = [repr(part) for part in self.parts]
        return f"stack([{', '.join(texts[i] for i in self.of)}], axis={self.axis!r})"


def stack(masks: Iterable[Mask], axis: str = "head") -> Mask:
    """One mask for each head, or for each sample of a batch.

    Args:
        masks: of queries and keys; those that are equal cost as much as one. They meet as under `&`: an axis that one
            lacks, or has in size 1, serves all.
        axis: "head" or "batch".

    Raises:
        ConfigError: there is none, one is no attention mask or has that axis already, or two differ in a size.
    """
    one_of(*LEADING).check("axis", axis)
    given = list(masks)
    if not given:
        raise ConfigError(f"stack needs at least one mask, one for each of the axis {axis!r}, got none")
    for mask in given:
        if not isinstance(mask, AttentionMask):
            raise ConfigError(f"stack takes masks of queries and keys, got {shown(mask)}")
        if axis in mask.axes:
            raise ConfigError(f"{mask!r} has the axis {axis!r} already; stack what mask[i] gives")
    plain, dtype = of_one_dtype(given)
    parts = tuple(dict.fromkeys(plain))
    together(parts, "stack")
    place = {part: i for i, part in enumerate(parts)}
    return Stack(parts, axis, tuple(place[mask] for mask in plain)).astype(dtype)


def restacked(parts: list[Mask], axis: str, of: Any) -> Mask:
    """A stack from its saved form."""
    if not (isinstance(of, (list, tuple)) and of and all(isinstance(i, int) and 0 <= i < len(parts) for i in of)):
        raise ConfigError(f"'of' must say for each {axis} which of the {len(parts)} masks it has, got {shown(of)}")
    return stack([parts[i] for i in of], axis)


# -- along the queries and the keys -----------------------------------------------------------------------------------


@frozen
class Placed(Several, AttentionMask):
    """Masks at places of a grid of rows and columns; what no mask covers is blocked."""

    name = "placed"
    rows: tuple[int, ...]  # the row of the grid that each part stands in
    columns: tuple[int, ...]

    @cached_property
    def sizes(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for axis in LEADING:
            if counts := {own[axis] for own in map(sizes, self.parts) if axis in own}:
                if len(counts - {1}) > 1:
                    raise ConfigError(f"masks beside each other differ along the axis {axis!r}: {sorted(counts)}")
                found[axis] = max(counts)
        return found | {"query": self._tops[-1], "key": self._lefts[-1]}

    @cached_property
    def _tops(self) -> list[int]:
        return _starts([part.shape[-2] for part in self.parts], self.rows)

    @cached_property
    def _lefts(self) -> list[int]:
        return _starts([part.shape[-1] for part in self.parts], self.columns)

    def allows(self, *index: Any) -> Any:
        *leading, q, k = index
        found = (q < 0) & (k < 0)
        for part, place_q, place_k in zip(self.parts, self.rows, self.columns, strict=True):
            row, in_row = _local(q, self._tops, place_q)
            column, in_column = _local(k, self._lefts, place_k)
            found = found | (in_row & in_column & part.allows(*own_index(part, self.axes, (*leading, row, column))))
        return found

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        """The spans of all parts that the rows cross, each moved to its columns."""
        *leading, q = np.broadcast_arrays(*rows)
        keys, flat = self.shape[-1], q.reshape(-1)
        row, found = np.searchsorted(self._tops, flat, side="right") - 1, []
        for part, place_q, place_k in zip(self.parts, self.rows, self.columns, strict=True):
            here = np.flatnonzero(row == place_q)
            if not len(here):
                continue
            own = (*(axis.reshape(-1)[here] for axis in leading), flat[here] - self._tops[place_q])
            spans = part.found(own_index(part, self.axes, own), loose)
            if spans is None:
                return None
            spans = spans.within(part.shape[-1], here.shape)
            lo, hi = np.full((2, len(spans), flat.size), keys)
            some = spans.lo < spans.hi
            for ends, whole in ((spans.lo, lo), (spans.hi, hi)):
                whole[:, here] = np.where(some, ends + self._lefts[place_k], keys)
            found.append(Spans.cut(lo, hi, keys))
        if not found:
            return Spans.nothing(q.shape, keys)
        return Spans.union(found).reshape(q.shape)

    @property
    def intervals(self) -> int:
        crossed = np.bincount(self.rows, weights=[part.intervals for part in self.parts])
        return int(crossed.max(initial=1))

    @property
    def _diagonal(self) -> bool:
        return self.rows == self.columns == tuple(range(len(self.parts)))

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any]:
        """As the function that makes it takes it."""
        if self._diagonal:
            return {"direct_sum": save(self.parts)}
        return {"grid": save(self.parts), "rows": save(self.rows), "columns": save(self.columns)}

    def __repr__(self) -> str:
        if self._diagonal:
            return f"direct_sum([{', '.join(map(repr, self.parts))}])"
        part_at = dict(zip(zip(self.rows, self.columns, strict=True), self.parts, strict=True))
        rows, columns = range(max(self.rows) + 1), range(max(self.columns) + 1)
        return f"grid({[[part_at.get((row, column)) for column in columns] for row in rows]!r})"


def _starts(sizes: Iterable[int], places: tuple[int, ...]) -> list[int]:
    """Where the lines of a grid begin, and behind the last one, from the sizes of what stands in them."""
    size_of = dict(zip(places, sizes, strict=True))
    return [0, *accumulate(size_of[place] for place in range(len(size_of)))]


def _local(index: Any, starts: list[int], place: int) -> tuple[Any, Any]:
    """An index as the part at this place numbers it, outside of that one of its ends; and whether it is inside."""
    start, behind = starts[place], starts[place + 1]
    return minimum(maximum(index - start, 0), behind - start - 1), (index >= start) & (index < behind)


def direct_sum(masks: Iterable[Mask]) -> Mask:
    """One mask for each packed document, along the diagonal; nothing is allowed between them.

    Args:
        masks: of queries and keys, of any lengths; a batch or heads meet as under `&`.

    Raises:
        ConfigError: there is none, or one is no attention mask.
    """
    given = list(masks)
    places = tuple(range(len(given)))
    return _placed(tuple(given), places, places)


def grid(cells: Sequence[Sequence[Mask | None]]) -> Mask:
    """A mask made of quadrants: `grid([[a, b], [c, None]])`, where None is all blocked.

    Args:
        cells: rows of masks; those of a row have as many queries, those of a column as many keys.

    Raises:
        ConfigError: the rows are of unequal length, a row or a column is all None, or the sizes do not fit.
    """
    rows = list(cells) if isinstance(cells, (list, tuple)) else []
    if not rows or not all(isinstance(row, (list, tuple)) and row for row in rows):
        raise ConfigError(f"grid takes rows of masks, such as [[a, b], [c, None]], got {shown(cells)}")
    if len({len(row) for row in rows}) > 1:
        raise ConfigError(f"the rows of a grid must be of equal length, got {[len(row) for row in rows]} cells")
    for word, lines in (("row", rows), ("column", list(zip(*rows, strict=True)))):
        for i, line in enumerate(lines):
            if all(cell is None for cell in line):
                raise ConfigError(
                    f"{word} {i} of the grid is all None, which says no length; leave it out, or give a mask"
                )
    found = [(cell, r, c) for r, row in enumerate(rows) for c, cell in enumerate(row) if cell is not None]
    parts, at_row, at_column = zip(*found, strict=True)
    return _placed(parts, at_row, at_column)


def _placed(parts: tuple[Mask, ...], rows: tuple[int, ...], columns: tuple[int, ...]) -> Mask:
    if not parts:
        raise ConfigError("direct_sum needs at least one mask, got none")
    for part in parts:
        if not isinstance(part, AttentionMask):
            raise ConfigError(f"masks that lie beside each other must be of queries and keys, got {shown(part)}")
    known: dict[str, int] = {}
    for part, row, column in zip(parts, rows, columns, strict=True):
        for line, axis, size in ((f"row {row}", "query", part.shape[-2]), (f"column {column}", "key", part.shape[-1])):
            if known.setdefault(line, size) != size:
                raise ConfigError(f"{line} of the grid has {known[line]} and {size} along the axis {axis!r}: {part!r}")
    plain, dtype = of_one_dtype(parts)
    found = Placed(plain, rows, columns)
    _ = found.sizes  # batches and heads must meet
    return found.astype(dtype)


def replaced(parts: list[Mask], rows: Any, columns: Any) -> Mask:
    """A grid from its saved form."""
    for word, places in (("rows", rows), ("columns", columns)):
        good = isinstance(places, (list, tuple)) and all(isinstance(i, int) for i in places)
        if not good or len(places) != len(parts) or {*places} != {*range(len({*places}))}:
            raise ConfigError(
                f"{word!r} must say for each mask of the grid where it stands, from 0, got {shown(places)}"
            )
    if len(set(zip(rows, columns, strict=True))) < len(parts):
        raise ConfigError(f"two masks stand in one cell of the grid, got rows {rows} and columns {columns}")
    return _placed(tuple(parts), tuple(rows), tuple(columns))


def from_spans(planes: Sequence[Sequence[Spans]]) -> Mask:
    """The mask of spans, of sample b and head h those of `planes[b][h]`; of one sample, or head, there is no axis."""
    heads = [[of_spans(spans) for spans in row] for row in planes]
    samples = [stack(row) if len(row) > 1 else row[0] for row in heads]
    return stack(samples, "batch") if len(samples) > 1 else samples[0]
