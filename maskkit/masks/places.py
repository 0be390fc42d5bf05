"""Places along the axes of a mask: slices, complete, saved and as text, and positions that run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.errors import ConfigError
from maskkit.validators import is_integer, shown


def full_key(axes: Sequence[str], key: Any) -> list[Any]:
    """One entry per axis."""
    keys = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(axes) - len(keys) + 1)
    keys += [slice(None)] * (len(axes) - len(keys))
    if len(keys) != len(axes):
        raise IndexError(f"a mask of {', '.join(axes)} takes {len(axes)} slices, got {len(keys)}")
    return keys


def as_slices(saved: Any, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """The slices that give a view of these `[start, step, count]`, one for each axis of a mask of this shape."""
    if not isinstance(saved, (list, tuple)) or len(saved) != len(shape):
        raise ConfigError(f"slices of a view must be {len(shape)} lists, one for each axis, got {shown(saved)}")
    found = []
    for one, size in zip(saved, shape, strict=True):
        if not (isinstance(one, (list, tuple)) and len(one) == 3 and all(map(is_integer, one))):
            raise ConfigError(f"slices of a view must be lists [start, step, count], got {shown(one)}")
        start, step, count = one
        if not step or count < 1 or not (0 <= start < size and 0 <= start + step * (count - 1) < size):
            raise ConfigError(f"slices of a view must stay in 0..{size - 1}, the places of the axis, got {one!r}")
        stop = start + step * count
        found.append(slice(start, stop if stop >= 0 else None, step))
    return tuple(found)


def slice_text(one: tuple[int, int, int], size: int) -> str:
    """A start, a step and a count, as they are written between brackets."""
    start, step, count = one
    stop = start + step * count
    if one == (0, 1, size):
        return ":"
    return f"{start}:{stop if stop >= 0 else ''}" + (f":{step}" if step != 1 else "")


def runs(positions: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Where the positions of each sample run on: `(start, first position, count)` of every run, (3, runs, batch).

    A negative position is nowhere. Samples with fewer runs end in empty ones.
    """
    found = []
    for sample in positions:
        goes_on = np.append(False, (np.diff(sample) == 1) & (sample[:-1] >= 0))
        start = np.flatnonzero(~goes_on & (sample >= 0))
        behind = np.append(np.flatnonzero(~goes_on), len(sample))
        count = behind[np.searchsorted(behind, start, side="right")] - start
        found.append(np.stack([start, sample[start], count]))
    most = max(1, *(one.shape[1] for one in found))
    return np.stack([np.pad(one, ((0, 0), (0, most - one.shape[1]))) for one in found], axis=-1)
