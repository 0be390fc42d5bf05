"""Pattern: what a mask class defines. All that computes takes a pattern; `Mask` adds what users ask for."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, wraps
from math import prod
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from maskkit import limits
from maskkit.arrays.libraries import host, is_array
from maskkit.masks import predicate, solved
from maskkit.masks.spans import Spans
from maskkit.registry.item import Item


class Pattern(Item):
    """A set of allowed positions of an array of the given shape.

    Subclasses are frozen attrs classes: their fields are the whole pattern, so it compares, hashes, pickles and prints
    by value. They define `allows`, optionally `spans`, and `shape`.
    """

    kind = "mask"
    category: ClassVar[str] = "segmentation"
    form: ClassVar[str] = ""
    """The key of its saved form, of what no plugin makes."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "allows" in vars(cls):
            allows = getattr(cls.allows, "__wrapped__", cls.allows)
            for name, cell in zip(allows.__code__.co_freevars, allows.__closure__ or (), strict=True):
                if name == "__class__":  # of `super()`: attrs, which makes a class anew, does not find it in there
                    cell.cell_contents = cls
            cls.allows = _of_wide(allows)  # type: ignore[method-assign]

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        _ = self.parts and self.depth  # refused here, if it is too much

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes, in order; the last one is that of the keys (or of whatever is looked at).

        Of attention masks a subset of batch and head, then query and key. A class just says
        `axes = ("batch", "query", "key")`.
        """
        raise NotImplementedError(f'{type(self).__name__} must define axes, such as axes = ("height", "width")')

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each axis."""
        raise NotImplementedError(f"{type(self).__name__} must define shape")

    def allows(self, *index: Any) -> Any:
        """Whether the position is allowed: one index per axis, integers or integer arrays of any library.

        Written with comparisons, `+ - * // %`, `& | ^ ~`, `abs` and `maskkit.take`, so that one definition runs on
        NumPy, Torch, FlexAttention, JAX and Keras.
        """
        raise NotImplementedError(f"{type(self).__name__} must define allows")

    def spans(self, *rows: Any) -> Spans | None:
        """The same set as intervals of the last axis; `rows` are integer arrays, one for every axis but the last.

        None if it has no such structure: everything then goes through `allows`. The default solves `allows` for the
        last index.

        Raises:
            TypeError: not as many arrays as it has axes but the last.
        """
        return self._found(self._checked(rows), loose=False)

    @property
    def intervals(self) -> int:
        """How many intervals a row has at most; where that is over `maskkit.limits.intervals`, spans are asked of a few
        rows only. The default: 1, which stands for few, where spans are written by hand, else what three rows tell."""
        return 1 if type(self).spans is not Pattern.spans or not self.on_host else self._traced.intervals

    def reach(self, *rows: Any) -> Spans | None:
        """Intervals outside which everything is blocked: lets masks without spans skip work.

        The default: spans that are written by hand, where they are few (to look for many takes longer than it saves);
        else from `allows`, where what cannot be solved counts as allowed.
        """
        if type(self).spans is not Pattern.spans:
            return self.spans(*rows) if self.intervals <= limits.intervals else None
        return self._found(self._checked(rows), loose=True)

    def _checked(self, rows: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(rows) != len(self.shape) - 1:
            axes = ", ".join(self.axes[:-1]) or "none"
            raise TypeError(f"one array of indices is needed for every axis but the last ({axes}), got {len(rows)}")
        return rows

    def found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        """`reach` if `loose`, else `spans`: what patterns made of patterns ask these for."""
        return self.reach(*rows) if loose else self.spans(*rows)

    def _found(self, rows: tuple[Any, ...], loose: bool) -> Spans | None:
        """What both give where neither is written by hand; patterns made of patterns find it with these."""
        if not self.on_host or self._traced.condition is None:
            return None
        return solved.spans(self._traced.condition, rows, self.shape[-1], loose=loose)

    @property
    def period(self) -> int:
        """After how many rows a mask of queries by keys repeats, moved by as many keys; 0: never.

        With 1 it depends on q - k alone. Arrays (period 1) and block maps then ask for its first and its last period of
        rows only. The default follows from `allows`.
        """
        return self._traced.period if len(self.shape) == 2 else 0

    @cached_property
    def _traced(self) -> _Traced:
        """What is told from the predicate once; where no array is a field, once for all that are equal."""
        fields = tuple(getattr(self, a.name) for a in self.__attrs_attrs__)
        plain = not self.parts and all(isinstance(value, (int, float, str, tuple, type(None))) for value in fields)
        found: _Traced = _alike.get((type(self), fields), lambda: _Traced(self)) if plain else _Traced(self)
        return found

    @property
    def plane_ids(self) -> npt.NDArray[np.int64]:
        """A number for each plane, along all axes but the last two: those of one number are equal, and computed once.

        The default takes all for different.
        """
        leading = self.shape[:-2]
        return np.arange(prod(leading)).reshape(leading)

    @property
    def on_host(self) -> bool:
        """Whether all array fields can be read here and now: not on another device, not being traced."""
        fields = (getattr(self, a.name) for a in self.__attrs_attrs__)
        return all(host(value) is not None for value in fields if is_array(value))

    @property
    def array_dtype(self) -> str:
        """The dtype of its arrays where none is asked for."""
        return "bool"

    # -- patterns made of patterns --------------------------------------------------------------------------------

    @property
    def parts(self) -> tuple[Any, ...]:
        """The patterns that this one is made of."""
        return ()

    @cached_property
    def depth(self) -> int:
        """How many patterns stand one inside of the other: one for a pattern without parts."""
        return limits.check_depth(self.parts)

    def with_parts(self, parts: tuple[Any, ...]) -> Any:
        """The same, made of others."""
        raise NotImplementedError(f"{type(self).__name__} is made of no parts")

    def bracketed(self) -> str:
        """Its text where it stands beside an operator, or before a slice."""
        return repr(self)

    def saved(self, save: Callable[[Any], Any]) -> dict[str, Any] | None:
        """The saved form of what no plugin makes, its values through `save`; None where a name stands for it.

        Under `form` its first field, and beside it the others that are given: `maskkit.configs.reading.FORMS` reads it.
        """
        keys = [self.form, *(a.alias for a in self.__attrs_attrs__[1:])]
        values = (getattr(self, a.name) for a in self.__attrs_attrs__)
        return {key: save(x) for key, x in zip(keys, values, strict=True) if x is not None} if self.form else None


def _of_wide(allows: Callable[..., Any]) -> Callable[..., Any]:
    """A predicate whose plain integers are NumPy's: of Python's, `~` of a comparison is no boolean, and a narrow array
    would not widen beside them. Nor would it beside narrow indices."""

    @wraps(allows)
    def wide(self: Pattern, *index: Any) -> Any:
        return allows(self, *(np.int64(i) if type(i) is int else _wide(i) for i in index))

    return wide


def _wide(index: Any) -> Any:
    """An index of a class of NumPy's as wide as a position can be."""
    narrow = isinstance(index, (np.ndarray, np.integer)) and index.dtype.itemsize < 4
    return index.astype(np.int64) if narrow else index


class _Traced:
    """A predicate as an expression, or None, and what is often asked of it."""

    nbytes = 2**13  # about

    def __init__(self, pattern: Pattern) -> None:
        axes = len(pattern.shape)
        self.condition = predicate.trace(pattern.allows, axes)
        self.period = 0 if self.condition is None or axes != 2 else predicate.period(self.condition)
        self.intervals = 1
        if self.condition is not None and type(pattern).spans is Pattern.spans and pattern.on_host:
            *planes, rows, keys = (1, *pattern.shape)[-max(axes, 2) :]
            three = (*(0 for _ in planes), np.array([0, rows // 2, rows - 1]))[: axes - 1]
            found = solved.spans(self.condition, three, keys)
            self.intervals = 1 if found is None else len(found)


_alike = limits.Recent()
"""By class and fields, for what is kept here must not keep masks alive, by whose lives others keep arrays."""
