"""The cheapest schedule of a problem, once for every mask and shapes, forward and backward apart."""

from functools import cached_property
from typing import Any

from attrs import evolve, frozen
from maskkit import Cost, Problem
from maskkit.limits import Recent
from maskkit_blocks import Schedules, Strips, strips
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
    nbytes: int


def _nbytes(job: Job) -> int:
    """Of the arrays that calls hold."""
    calls = [call for _, layers in job.planes for calls in layers for call in calls]
    arrays = [array for call in calls for array in (call.lo, call.hi, call.runs) if array is not None]
    held = sum(int(array.nbytes) for array in arrays)
    return 1024 + 512 * len(calls) + held + sum(4 * call.rows * min(call.width, 1024) for call in calls)


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
    def strips(self) -> list[tuple[Strips, Schedules]]:
        """A grid in strips, and ways to compute each; none where there is no grid, or no time to look for it."""
        spans = self.found[0][1].spans
        if len(self.found) > 1 or spans.lo.size > _SEARCHED:
            return []
        return [(one, Schedules(one.spans)) for one in strips(spans)]


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
    sizes = (rows,) if rows else _ROWS[backward]

    def cheapest(lanes: list[Lanes], schedules: Schedules, times: int = 1) -> tuple[float, int, Any]:
        """Seconds, pairs, and what to call, for lanes that there are so many times."""
        heads = times * sum(one.count for one in lanes)
        seconds, layers = _cheapest(
            schedules, lambda it: (_cost.seconds(it, heads, len(lanes), planes.problem, backward), it), sizes
        )
        return seconds, heads * sum(call.pairs for calls in layers for call in calls), (lanes, layers)

    grid, extra = None, 0.0
    chosen = [cheapest(*one) for one in planes.found]
    if planes.strips:
        lanes = planes.found[0][0]
        every = [one for one, _ in planes.strips]
        by_strips = [cheapest(lanes, ways, one.keys.strips) for one, ways in planes.strips]
        moved = _cost.reordered(every, sum(one.count for one in lanes), planes.problem, backward)
        if moved + sum(one[0] for one in by_strips) < chosen[0][0]:
            grid, extra, chosen = every, moved, by_strips
    seconds, pairs, calls = zip(*chosen, strict=True)
    job = Job(list(calls), grid)
    return _Schedule(job, _cost.FIXED[backward] + extra + sum(seconds), sum(pairs), _nbytes(job))
