"""Axes by name: which a mask has, how those of several meet, and the four that attention reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit.arrays.libraries import namespace
from maskkit.errors import ConfigError
from maskkit.masks.pattern import Pattern
from maskkit.validators import shown

LEADING = ("batch", "head")
"""What may stand before query and key."""
HEADS = (*LEADING, "query", "key")
"""The axes of attention scores, in the order in which all libraries have them."""
_ORDER = (*HEADS, "height", "width")


def sizes(pattern: Pattern) -> dict[str, int]:
    """The size of each axis, in order."""
    axes, shape = pattern.axes, pattern.shape
    if len(axes) != len(shape):
        raise ConfigError(
            f"{type(pattern).__name__} has the shape {shape} and names the axes {', '.join(axes)}; "
            'name one for each, such as axes = ("batch", "query", "key")'
        )
    return dict(zip(axes, shape, strict=True))


class Sized(Pattern):
    """A pattern that tells its axes and their sizes together."""

    @property
    def sizes(self) -> dict[str, int]:
        """The size of each axis, in order."""
        raise NotImplementedError

    @property
    def axes(self) -> tuple[str, ...]:
        """Their names."""
        return tuple(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Their sizes."""
        return tuple(self.sizes.values())


def is_attention(axes: Sequence[str]) -> bool:
    """Whether these are query and key, and before them at most batch and head."""
    return tuple(axes[-2:]) == HEADS[-2:] and tuple(axes) == tuple(axis for axis in HEADS if axis in axes)


def together(patterns: Iterable[Pattern], what: str) -> dict[str, int]:
    """The axes that patterns have together, and their sizes: one that is missing, or of size 1, serves all.

    Raises:
        ConfigError: two sizes differ, with the axis; or the patterns are not of the same things.
    """
    patterns = list(patterns)
    found = [sizes(pattern) for pattern in patterns]
    whole = max(found, key=len)
    size: dict[str, int] = {}
    for pattern, own in zip(patterns, found, strict=True):
        for axis, here in own.items():
            there = size.setdefault(axis, here)
            if here != there and 1 not in (here, there):
                raise ConfigError(
                    f"masks do not {what}: {shown(pattern)} has {here:,} along the axis {axis!r}, where others have "
                    f"{there:,}; give both the same, or cut one with a slice: mask[:rows, :keys]"
                )
            size[axis] = max(here, there)
        if apart := own.keys() - whole.keys() - set(LEADING):
            hint = "; mask.keys() makes a mask of keys from one of tokens" if "token" in {*own, *whole} else ""
            raise ConfigError(
                f"masks do not {what}: {shown(pattern)} has the axis {min(apart)!r}, and others are of "
                f"{', '.join(whole)}{hint}"
            )
    names = dict.fromkeys(chain(*found))
    ordered = sorted(names, key=lambda axis: _ORDER.index(axis) if axis in _ORDER else len(_ORDER))
    return {axis: size[axis] for axis in ordered}


def own_index(part: Pattern, axes: Sequence[str], index: Sequence[Any]) -> tuple[Any, ...]:
    """A part's own indices, from those along the first axes of the whole; 0 where it has one for all."""
    given = dict(zip(axes, index, strict=False))
    return tuple(given[axis] * 0 if size == 1 else given[axis] for axis, size in sizes(part).items() if axis in given)


def plane_ids(part: Pattern, axes: Sequence[str], shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The part's `plane_ids`, for the planes of a whole with these axes and this shape."""
    leading = part.axes[:-2]
    ids = part.plane_ids[tuple(slice(None) if axis in leading else None for axis in axes[:-2])]
    return np.broadcast_to(ids, shape[:-2])


# -- for what reads heads ---------------------------------------------------------------------------------------------


def with_heads(pattern: Pattern, array: Any) -> Any:
    """An array of an attention mask as (batch, head, query, key), with 1 where the mask has none."""
    check_attention(pattern)
    return array[tuple(slice(None) if axis in pattern.axes else None for axis in HEADS)]


def merged_heads(pattern: Pattern, array: Any, heads: int | None, batch: int | None) -> Any:
    """An array of an attention mask as (query, key), or as (batch * heads, query, key) where it has more axes.

    As `torch.nn.MultiheadAttention` takes it: the heads of a sample stand side by side.
    """
    check_attention(pattern)
    own = sizes(pattern)
    if len(own) == 2:
        return array
    counts = []
    for axis, count, word in (("batch", batch, "batch"), ("head", heads, "heads")):
        size = own.get(axis, 1)
        if count is None and size == 1:
            raise ConfigError(
                f"form 'mha' has a row for each sample and head, and {shown(pattern)} does not say how many along "
                f"the axis {axis!r}; give {word}=N"
            )
        if count is not None and size not in (1, count):
            raise ConfigError(f"{word}={count} differs from the {size} of {shown(pattern)} along the axis {axis!r}")
        counts.append(size if count is None else count)
    functions = namespace(array)
    full = functions.broadcast_to(with_heads(pattern, array), (*counts, *pattern.shape[-2:]))
    return functions.reshape(full, (-1, *pattern.shape[-2:]))


def in_form(
    pattern: Pattern, array: Any, form: str | None = None, heads: int | None = None, batch: int | None = None
) -> Any:
    """An array of a mask in one of the forms of `Mask.allowed`."""
    if form not in (None, "heads", "mha"):
        raise ConfigError(f"form must be None, 'heads' or 'mha', got {form!r}")
    if form != "mha" and (heads, batch) != (None, None):
        raise ConfigError(f"heads and batch are for form='mha', and the form is {form!r}; leave them out")
    if form is None:
        return array
    return with_heads(pattern, array) if form == "heads" else merged_heads(pattern, array, heads, batch)


def check_attention(pattern: Pattern) -> None:
    """Raise a ConfigError if it is no mask of queries and keys."""
    if not is_attention(pattern.axes):
        hint = "; mask.keys() makes one of keys from it" if "token" in pattern.axes else ""
        raise ConfigError(f"{shown(pattern)} is a mask of {', '.join(pattern.axes)}, not of queries and keys{hint}")
