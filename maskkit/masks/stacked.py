"""One mask for each head or sample: `maskkit.stack`."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, reduce
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit.arrays.indices import take
from maskkit.errors import ConfigError
from maskkit.masks.algebra import Several, of_one_dtype
from maskkit.masks.axes import HEADS, LEADING, own_index, plane_ids, together
from maskkit.masks.mask import AttentionMask, Mask
from maskkit.masks.spans import Spans
from maskkit.validators import one_of, shown


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
        which, axes, keys = self._which(rows), self.axes, self.shape[-1]
        shape = np.broadcast_shapes(*(np.shape(row) for row in rows))
        chosen = []
        for i in np.unique(which).tolist():
            spans = self.parts[i].found(own_index(self.parts[i], axes, rows), loose)
            if spans is None:
                return None
            chosen.append(spans.within(keys, shape).only(np.broadcast_to(which == i, shape)))
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
