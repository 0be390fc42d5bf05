"""The cheapest schedule of a problem, once for every mask and shapes, forward and backward apart."""

from functools import cached_property
from typing import Any

from attrs import evolve, frozen
from maskkit import Cost, Problem
from maskkit.limits import Recent
from maskkit_blocks import Call, Schedules, Strips, strips
from maskkit_kernel_area import _cost, _fused
from maskkit_kernel_area._torch import Job, Lanes, lanes_of

_ROWS = {False: (32, 64), True: (64, 128)}
"""Rows of a block, and where they see many keys; the backward pass likes larger ones."""
_MANY = 16
"""So many times its rows."""
_LAYERS = (2, 3)
"""Intervals of a row that may be computed apart and merged."""
_SEARCHED = 2**18
"""Intervals, of all rows, among which a grid is looked for."""
_found = Recent()


class NoSpans(Exception):
    """The mask has no spans."""


@frozen(eq=False)
class _Schedule:
    job: Job
    seconds: float
    pairs: int

    @property
    def nbytes(self) -> int:
        """Of the arrays that calls hold."""
        calls = [call for _, layers in self.job.planes for calls in layers for call in calls]
        arrays = [array for call in calls for array in (call.lo, call.hi, call.runs) if array is not None]
        return 1024 + 512 * len(calls) + sum(map(_bytes, arrays)) + sum(4 * c.rows * min(c.width, 1024) for c in calls)


def _bytes(array: Any) -> int:
    return int(array.nbytes)


def cost(problem: Problem, rows: int | None) -> Cost:
    """The estimate, and what is computed and held for it."""
    planes = _Planes(problem)
    passes = [_schedule(planes, rows, backward) for backward in ((False, True) if problem.training else (False,))]
    seconds = sum(one.seconds for one in passes) * (1 if _fused.fused() else _cost.UNFUSED)
    return Cost(seconds, pairs=passes[0].pairs, nbytes=sum(one.nbytes for one in passes))


def job(problem: Problem, rows: int | None, backward: bool) -> Job:
    """What to call."""
    return _schedule(_Planes(problem), rows, backward).job


class _Planes:
    """What the mask of a problem allows, found once, for both passes, and only if it is asked for."""

    def __init__(self, problem: Problem) -> None:
        self.problem = evolve(problem, scale=None, training=False, return_lse=False)  # without what changes nothing

    @cached_property
    def found(self) -> list[tuple[list[Lanes], Schedules]]:
        """The lanes of every plane, and ways to compute it."""
        planes = self.problem.planes()
        if planes is None:
            raise NoSpans
        spans, of = planes
        return [(lanes_of(of, i, self.problem.kv_heads), Schedules(one)) for i, one in enumerate(spans)]

    @cached_property
    def strips(self) -> tuple[Strips, Schedules] | None:
        """A grid in strips, and ways to compute it; None where there is no grid, or no time to look for it."""
        spans = self.found[0][1].spans
        if len(self.found) > 1 or spans.lo.size > _SEARCHED or (found := strips(spans)) is None:
            return None
        return found, Schedules(found.spans)


def _schedule(planes: _Planes, rows: int | None, backward: bool) -> _Schedule:
    found: _Schedule = _found.get((planes.problem, rows, backward), lambda: _make(planes, rows, backward))
    return found


def _cheapest(schedules: Schedules, costed: Any, sizes: tuple[int, ...]) -> Any:
    """The estimate and the layers that cost least. Few are tried: the sizes matter where rows have several intervals,
    and those are read together; else how many keys they see says which is good."""
    spans = schedules.spans
    if len(spans) == 1:
        wide = spans.counts().mean() >= _MANY * sizes[0]
        return costed(schedules.layers(sizes[-1 if wide else 0]))
    together = costed(schedules.layers(sizes[0]))
    if len(spans) in _LAYERS:
        apart = costed(schedules.layers(sizes[0], apart=True))
        if apart[0] <= together[0]:
            return apart
    return min([together, *(costed(schedules.layers(size)) for size in sizes[1:])], key=lambda one: one[0])


def _make(planes: _Planes, rows: int | None, backward: bool) -> _Schedule:
    total, pairs, chosen, grid = _cost.FIXED[backward], 0, [], None
    for lanes, schedules in planes.found:
        heads = sum(one.count for one in lanes)

        def costed(layers: list[list[Call]], heads: int = heads, runs: int = len(lanes)) -> Any:
            return _cost.seconds(layers, heads, runs, planes.problem, backward), layers

        seconds, best = _cheapest(schedules, costed, (rows,) if rows else _ROWS[backward])
        if planes.strips is not None:
            by_strips, ways = planes.strips
            costs, option = _cheapest(ways, costed, (rows,) if rows else _ROWS[backward])
            costs += _cost.reordered(by_strips, heads, planes.problem, backward)
            if costs < seconds:
                seconds, best, grid = costs, option, by_strips
        total += seconds
        pairs += heads * sum(call.pairs for calls in best for call in calls)
        chosen.append((lanes, best))
    return _Schedule(Job(chosen, grid), total, pairs)
