"""Numbers that follow the steps of a training, as pure functions of the step."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from attrs import field, frozen
from maskkit import Settings
from maskkit.errors import ConfigError
from maskkit.validators import is_integer, is_number, non_negative, one_of, optional, positive

Value = float | tuple[float, ...]
"""A number, or several, such as the two ends of a range."""


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _points(value: Any) -> Any:
    """Points as `(step, value)` pairs."""
    if value is None or not isinstance(value, (list, tuple)):
        return value
    return tuple(tuple(map(_value, point)) if isinstance(point, (list, tuple)) else point for point in value)


def _is_value(value: Any) -> bool:
    return is_number(value) or (isinstance(value, tuple) and len(value) > 0 and all(map(is_number, value)))


@frozen(kw_only=True)
class Schedule(Settings):
    """What a parameter is at each step.

    Attributes:
        parameter: its name; `masks.short.num_blocks` is a parameter of settings inside.
        shape: "constant"; "linear" or "cosine" from `start` to `end`; "piecewise", linear between `points`.
        start: the value up to step `begin`: a number, or a pair for a range.
        end: the value from step `begin + steps` on.
        steps: how many steps the way takes.
        begin: the step at which it begins.
        points: of "piecewise": pairs (step, value), steps ascending.
    """

    name = "schedule"

    parameter: str = field()
    shape: str = field(default="linear", validator=one_of("constant", "linear", "cosine", "piecewise"))
    start: Any = field(default=None, converter=_value)
    end: Any = field(default=None, converter=_value)
    steps: int | None = field(default=None, validator=optional(positive))
    begin: int = field(default=0, validator=non_negative)
    points: Any = field(default=None, converter=_points)

    def __attrs_post_init__(self) -> None:
        needed = {"constant": ("start",), "piecewise": ("points",)}.get(self.shape, ("start", "end", "steps"))
        for name in ("start", "end", "steps", "points"):
            given = getattr(self, name) is not None
            if given != (name in needed):
                raise ConfigError(
                    f"shape {self.shape!r} takes {', '.join(needed)}, but {name} is {'given' if given else 'missing'}"
                )
        if self.points is not None:
            self._check_points()
        values = [value for _, value in self.knots]
        for value in values:
            if not _is_value(value) or isinstance(value, tuple) != isinstance(values[0], tuple):
                raise ConfigError(f"values must be numbers, or pairs of numbers throughout, got {value!r}")

    def _check_points(self) -> None:
        points = self.points
        pairs = isinstance(points, tuple) and points and all(isinstance(p, tuple) and len(p) == 2 for p in points)
        steps = [point[0] for point in points] if pairs else []
        if not pairs or not all(is_integer(s) and s >= 0 for s in steps) or sorted(set(steps)) != steps:
            raise ConfigError(f"points must be pairs (step, value), steps ascending from 0 on, got {points!r:.80}")

    @property
    def knots(self) -> Sequence[tuple[int, Any]]:
        """The steps between which the value changes, and its values there."""
        if self.points is not None:
            return self.points  # type: ignore[no-any-return]
        if self.steps is None:
            return ((0, self.start),)
        return (self.begin, self.start), (self.begin + self.steps, self.end)

    def at(self, step: int, stages: int) -> Value:
        """The value at a step, where the way between two knots is cut into `stages` equal changes."""
        steps = [knot[0] for knot in self.knots]
        i = bisect_right(steps, step)
        if i in (0, len(steps)):
            found: Value = self.knots[max(i - 1, 0)][1]
            return found
        (first, low), (last, high) = self.knots[i - 1 : i + 1]
        stage = (2 * stages * (step - first) + last - first) // (2 * (last - first))
        share = stage / stages
        if self.shape == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        if isinstance(low, tuple):
            return tuple(_between(a, b, share) for a, b in zip(low, high, strict=True))
        return _between(low, high, share)

    def changes(self, stages: int) -> set[int]:
        """The steps from which on the value may be another one; 0 among them."""
        knots = [knot[0] for knot in self.knots]
        found = {0, *knots}
        for first, last in pairwise(knots):
            found |= {first - -(2 * k - 1) * (last - first) // (2 * stages) for k in range(1, stages + 1)}
        return found


def _between(low: float, high: float, share: float) -> float:
    """Up to the rounding of floats, which would show in messages."""
    return round(low + (high - low) * share, 12)
