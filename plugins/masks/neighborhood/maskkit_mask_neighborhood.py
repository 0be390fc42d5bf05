"""Neighborhood: a token of a grid sees the tokens nearest to it along every axis."""

import math
import operator
from functools import cached_property, reduce

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, optional, positive
from maskkit.arrays import maximum, minimum
from maskkit.validators import FieldRule, Rule, is_integer

# -- parameters, each one for all axes of the grid or one for each ----------------------------------------------------


def _as_tuple(value):
    return tuple(value) if isinstance(value, list) else value


def _each(words, test):
    """A validator: one value for all axes, or a tuple with one for each."""
    return Rule(
        f"must be {words}, or one for each axis of the grid",
        lambda value: all(map(test, value)) and bool(value) if isinstance(value, tuple) else test(value),
    )


def _is_positive(value):
    return is_integer(value) and 0 < value < 2**31


_grid = optional(
    Rule(
        "must be the sizes of 1 to 3 axes, outermost first",
        lambda grid: isinstance(grid, tuple) and 1 <= len(grid) <= 3 and all(map(_is_positive, grid)),
    )
)
_sizes = _each("a positive integer", _is_positive)
_flags = _each("True or False", lambda value: value is True or value is False)
_shifts = optional(_each("an integer from 0", lambda value: is_integer(value) and value >= 0))


def _sizes_of(config):
    """The grid of a config; None if it is not known."""
    grid = (config.height, config.width) if config.grid is None else config.grid
    return None if None in grid else grid


def _spread(value, grid):
    return value if isinstance(value, tuple) else (value,) * len(grid)


def _of_plane(name, axis):
    """A rule: the size of a plane is given where no grid is, and repeats the grid's where that is given too."""

    def problem(config):
        value, grid = getattr(config, name), config.grid
        if grid is None:
            return f"{name} required for neighborhood mask" if value is None else ""
        agrees = value is None or (len(grid) >= -axis and grid[axis] == value)
        return "" if agrees else f"{name} must be left out where grid is given, or repeat it: {grid}, got {value}"

    return FieldRule((name, "grid"), "must be given where grid is not", problem)


_PER_AXIS = ("kernel_size", "stride", "dilation", "causal", "shift")


def _one_for_each(name):
    """A rule: a tuple has as many entries as the grid has axes."""

    def problem(config):
        grid, value = _sizes_of(config), getattr(config, name)
        if grid is None or not isinstance(value, tuple) or len(value) == len(grid):
            return ""
        return f"{name} must have an entry for each axis of the grid {grid}, got {value}"

    return FieldRule((name, "grid", "height", "width"), "must have as many entries as the grid has axes", problem)


def _along_axes(name, words, wrong):
    """A rule between parameters of one axis: `wrong(axis)` is what the value must be instead, or None."""

    def problem(config):
        grid = _sizes_of(config)
        values = {name: _spread(getattr(config, name), grid or ()) for name in _PER_AXIS}
        if grid is None or any(len(value) != len(grid) for value in values.values()):
            return ""
        for i, size in enumerate(grid):
            axis = _Axis(size=size, **{name: value[i] for name, value in values.items()})
            if (expected := wrong(axis)) is not None:
                return f"{name} must be {expected}, got {getattr(axis, name)} along axis {i} of the grid {grid}"
        return ""

    return FieldRule((name, *_PER_AXIS, "grid", "height", "width"), words, problem)


def _too_wide(axis):
    if axis.kernel_size * axis.dilation <= axis.size:
        return None
    return f"at most {axis.size // axis.dilation}" + (f" with a dilation of {axis.dilation}" * (axis.dilation > 1))


def _too_long(axis):
    return None if axis.stride <= axis.kernel_size else f"at most kernel_size={axis.kernel_size}"


def _no_shift(axis):
    if axis.shift is None or (axis.stride == axis.kernel_size and axis.shift < axis.kernel_size):
        return None
    if axis.stride != axis.kernel_size:
        return f"None unless the stride ({axis.stride}) is kernel_size ({axis.kernel_size}), which makes tiles"
    return f"below kernel_size={axis.kernel_size}"


# -- one axis ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class _Axis:
    """What a place of one axis sees along it: of every dilation-th place an interval."""

    size: int
    kernel_size: int
    stride: int
    dilation: int
    causal: bool
    shift: int | None

    def window(self, place):
        """Which of the `dilation` groups of places it is in, and the interval of its group that it sees."""
        if self.dilation == 1:
            return 0, *self._interval(place, self.size)
        group = place % self.dilation
        return group, *self._interval(place // self.dilation, (self.size - 1 - group) // self.dilation + 1)

    def _interval(self, own, length):
        """`[start, end)` for a place of a group with so many."""
        if self.shift is not None:
            before = -self.shift % self.kernel_size
            tile = (own + before) // self.kernel_size * self.kernel_size - before
            start, end = maximum(tile, 0), minimum(tile + self.kernel_size, length)
        elif self.causal:
            leader = minimum(own // self.stride * self.stride + self.stride - 1, length - 1)
            start = maximum(leader - self.kernel_size + 1, 0)
        else:
            leader = minimum(own // self.stride * self.stride + self.stride // 2, length - 1)
            start = minimum(maximum(leader - self.kernel_size // 2, 0), length - self.kernel_size)
            end = start + self.kernel_size
        return start, own + 1 if self.causal else end

    def allows(self, place, key):
        """Whether a place sees another."""
        group, start, end = self.window(place)
        own = key if self.dilation == 1 else key // self.dilation
        seen = (own >= start) & (own < end)
        return seen if self.dilation == 1 else seen & (key % self.dilation == group)

    @property
    def cut(self):
        """Whether a place may see fewer than kernel_size."""
        return self.causal or self.shift is not None

    def count(self, place):
        """How many places it sees."""
        _, start, end = self.window(place)
        return end - start

    def extent(self, place):
        """The first place that it sees, and the last."""
        group, start, end = self.window(place)
        return start * self.dilation + group, (end - 1) * self.dilation + group


# -- parameters from what is seen -------------------------------------------------------------------------------------

_TRIED_TOKENS, _TRIED_SIZE = 4096, 64
"""Grids, and their axes, up to here are looked for."""


def _grids(tokens):
    """All grids of 2, 3 and 1 axes with so many tokens, the plainest first; no axis is of one place."""
    pairs = [(a, tokens // a) for a in range(2, tokens // 2 + 1) if tokens % a == 0]
    pairs.sort(key=max)
    triples = [(a, *rest) for a, b in pairs for rest in ((c, b // c) for c in range(2, b // 2 + 1) if b % c == 0)]
    return [grid for grid in [*pairs, *triples, (tokens,)] if max(grid) <= _TRIED_SIZE]


def _one_or_each(values):
    """What holds for all axes, said once."""
    return values[0] if len(set(values)) == 1 else tuple(values)


def _is_box(seen):
    """Whether what a token sees is seen along each axis by itself; (grid)."""
    lines = [seen.any(axis=tuple(other for other in range(seen.ndim) if other != axis)) for axis in range(seen.ndim)]
    return (reduce(np.multiply.outer, lines) == seen).all()


def _line_of(boxes, axis):
    """Which places along an axis see each other, (size, size), for tokens in the corner along all others."""
    axes, corner = boxes.ndim // 2, [0] * boxes.ndim
    corner[axis] = corner[axes + axis] = slice(None)
    return boxes[tuple(corner)]


def _axis_of(line):
    """The parameters of one axis; None if there are none that give this."""
    size, most = len(line), int(line.sum(axis=1).max())
    own, key = np.arange(size)[:, None], np.arange(size)
    if not most:
        return None
    tried = [
        _Axis(size=size, kernel_size=kernel, stride=stride, dilation=dilation, causal=causal, shift=None)
        for kernel in sorted({most, min(most + 1, size)})
        for dilation in range(1, size // kernel + 1)
        for stride in range(1, kernel + 1)
        for causal in (False, True)
    ]
    tried += [
        _Axis(size=size, kernel_size=most, stride=most, dilation=1, causal=False, shift=shift) for shift in range(most)
    ]
    return next((axis for axis in tried if (axis.allows(own, key) == line).all()), None)


# -- the mask ---------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Neighborhood(AttentionMask):
    """A token of a grid may see the kernel_size tokens nearest to it along every axis, as a box.

    Tokens are numbered in row-major order: token t of a plane stands in row t // width and column t % width. At the
    borders the box moves inwards rather than being cut. Of an even kernel_size half lies before the token, and one less
    behind it. With a stride so many neighbours share the box of the one in their middle; with stride == kernel_size the
    boxes are tiles. With a dilation only every so manieth token counts, for the box and for what is the nearest. Along
    causal axes the box ends at the token, and is cut at the border.

    Sources: Hassani et al. 2023 (Neighborhood Attention Transformer), arXiv:2204.07143, section 3.1; Hassani and Shi
    2022, arXiv:2209.15001, for dilation; Hassani et al. 2024, arXiv:2403.04690, for causal axes; Hassani et al. 2025,
    arXiv:2504.16922, for stride; Liu et al. 2021 (Swin), arXiv:2103.14030, section 3.2, for shift.

    Attributes:
        height: rows of a plane.
        width: columns of a plane.
        grid: sizes of 1 to 3 axes, outermost first, such as (frames, height, width); instead of height and width.
        kernel_size: size of the box; at most the grid.
        stride: number of tokens that share a box; at most kernel_size.
        dilation: distance of the tokens that see each other; kernel_size * dilation is at most the grid.
        causal: whether a token sees none behind it along the axis.
        shift: for tiles, the size of the first one: those at the borders are cut, not moved, as windows of Swin; 0 is
            whole ones. None lets boxes move inwards.
    """

    name = "neighborhood"
    rules = (
        _of_plane("height", -2),
        _of_plane("width", -1),
        *map(_one_for_each, _PER_AXIS),
        _along_axes("kernel_size", "kernel_size * dilation must be at most the grid", _too_wide),
        _along_axes("stride", "must be at most kernel_size", _too_long),
        _along_axes("shift", "must be below kernel_size, for tiles alone", _no_shift),
    )
    samples = (
        dict(height=4, width=5, kernel_size=3),
        dict(height=7, width=5, kernel_size=[4, 5]),
        dict(height=3, width=4, kernel_size=1),
        dict(grid=[11], kernel_size=4, stride=2, causal=True),
        dict(grid=[2, 5, 4], kernel_size=[2, 3, 2], causal=[True, False, False]),
        dict(height=5, width=7, kernel_size=[2, 3], dilation=[1, 2]),
        dict(height=5, width=6, kernel_size=3, stride=3, shift=1),
    )
    height: int | None = field(default=None, validator=optional(positive))
    width: int | None = field(default=None, validator=optional(positive))
    grid: tuple[int, ...] | None = field(default=None, converter=_as_tuple, validator=_grid)
    kernel_size: int | tuple[int, ...] = field(converter=_as_tuple, validator=_sizes)
    stride: int | tuple[int, ...] = field(default=1, converter=_as_tuple, validator=_sizes)
    dilation: int | tuple[int, ...] = field(default=1, converter=_as_tuple, validator=_sizes)
    causal: bool | tuple[bool, ...] = field(default=False, converter=_as_tuple, validator=_flags)
    shift: int | tuple[int, ...] | None = field(default=None, converter=_as_tuple, validator=_shifts)

    @property
    def shape(self):
        tokens = math.prod(_sizes_of(self))
        return (tokens, tokens)

    def allows(self, q, k):
        pairs = zip(self._axes, self._places(q), self._places(k), strict=True)
        return reduce(operator.and_, (axis.allows(place, key) for axis, place, key in pairs))

    @property
    def intervals(self):
        *outer, last = self._axes
        return math.prod(axis.kernel_size for axis in outer) * (last.kernel_size if last.dilation > 1 else 1)

    def spans(self, q):
        axes = list(zip(self._axes, self._places(q), self._inner, strict=True))
        size = 1  # of an interval: a token by itself, or what is seen along the last axis
        if axes[-1][0].dilation == 1:
            last, own, _ = axes.pop()
            size = last.count(own)
        steps, there = np.zeros(1, np.int64), np.ones((1, *(1,) * q.ndim), np.bool_)
        for axis, own, inner in axes:
            step = np.arange(axis.kernel_size)
            steps = np.add.outer(steps, step * axis.dilation * inner).ravel()
            if axis.cut:
                there = (there[:, None] & (step.reshape(-1, *(1,) * q.ndim) < axis.count(own))).reshape(-1, *q.shape)
            else:
                there = there.repeat(axis.kernel_size, axis=0)
        first = np.add.outer(steps, self._extent(q)[0])
        return Spans.intervals(first, first + (size if there.all() else np.where(there, size, 0)))

    def reach(self, q):
        first, last = self._extent(q)
        return Spans.interval(first, last + 1)

    @classmethod
    def recognize(cls, spans):
        if len(spans.shape) > 1 or spans.limit > _TRIED_TOKENS or not spans.counts().all():
            return None
        allowed = spans.to_bool()
        for grid in _grids(spans.limit):
            if not all(_is_box(allowed[row].reshape(grid)) for row in (0, spans.limit // 2, spans.limit - 1)):
                continue
            boxes = allowed.reshape(*grid, *grid)
            along = [_line_of(boxes, i) for i in range(len(grid))]
            if (reduce(np.kron, along) == allowed).all():  # what is seen along one axis hangs on no other
                found = [_axis_of(line) for line in along]
                if None not in found:
                    each = {name: [getattr(axis, name) for axis in found] for name in _PER_AXIS}
                    return dict(grid=grid, **{name: _one_or_each(values) for name, values in each.items()})
        return None

    def _extent(self, q):
        """The first token of each box, and the last."""
        first = last = 0
        for axis, own, inner in zip(self._axes, self._places(q), self._inner, strict=True):
            ends = axis.extent(own)
            first, last = first + ends[0] * inner, last + ends[1] * inner
        return first, last

    @cached_property
    def _axes(self):
        grid = _sizes_of(self)
        values = zip(*(_spread(getattr(self, name), grid) for name in _PER_AXIS), strict=True)
        each = (dict(zip(_PER_AXIS, value, strict=True)) for value in values)
        return [_Axis(size=size, **value) for size, value in zip(grid, each, strict=True)]

    @cached_property
    def _inner(self):
        """For each axis how many tokens lie between neighbours along it."""
        sizes = [axis.size for axis in self._axes]
        return [math.prod(sizes[i + 1 :]) for i in range(len(sizes))]

    def _places(self, token):
        """Where a token stands along each axis."""
        outermost, *others = zip(self._axes, self._inner, strict=True)
        return [token // outermost[1], *(token // inner % axis.size for axis, inner in others)]


@hookimpl
def maskkit_masks():
    return [Neighborhood]
