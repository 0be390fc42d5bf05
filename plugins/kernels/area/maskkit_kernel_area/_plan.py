"""The cheapest schedule of a problem, once for every mask and shapes, forward and backward apart."""

from typing import Any

from attrs import evolve, frozen
from maskkit import Cost, Problem, Spans
from maskkit.limits import Recent
from maskkit_blocks import Call, layers, tiles
from maskkit_kernel_area import _cost, _fused
from maskkit_kernel_area._torch import Job, lanes_of

_ROWS = {False: (32, 64), True: (64, 128)}
"""Blocks that are tried; the backward pass likes larger ones."""
_LAYERS = (2, 3)
"""Intervals of a row that may be computed apart and merged."""
_SEARCHED = 2**18
"""Intervals, of all rows, among which keys of tiles are looked for."""
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
    passes = [_schedule(problem, rows, backward) for backward in ((False, True) if problem.training else (False,))]
    seconds = sum(one.seconds for one in passes) * (1 if _fused.fused() else _cost.UNFUSED)
    return Cost(seconds, pairs=passes[0].pairs, nbytes=sum(one.nbytes for one in passes))


def job(problem: Problem, rows: int | None, backward: bool) -> Job:
    """What to call."""
    return _schedule(problem, rows, backward).job


def _schedule(problem: Problem, rows: int | None, backward: bool) -> _Schedule:
    plain = evolve(problem, scale=None, training=False, return_lse=False)  # what does not change it
    found: _Schedule = _found.get((plain, rows, backward), lambda: _make(plain, rows, backward))
    return found


def _make(problem: Problem, rows: int | None, backward: bool) -> _Schedule:
    planes = problem.planes()
    if planes is None:
        raise NoSpans
    total, pairs, chosen, order = _cost.FIXED[backward], 0, [], None
    for plane, spans in enumerate(planes[0]):
        lanes = lanes_of(planes[1], plane, problem.kv_heads)
        heads = sum(one.count for one in lanes)
        found = [
            _costed(spans, size, False, heads, len(lanes), problem, backward)
            for size in ((rows,) if rows else _ROWS[backward])
        ]
        if len(spans) in _LAYERS:
            size = rows or _ROWS[backward][0]
            found.append(_costed(spans, size, True, heads, len(lanes), problem, backward))
        seconds, best = min(found, key=lambda one: one[0])
        if len(planes[0]) == 1 and (found_order := _grid(spans)) is not None:
            tiled = _costed(spans.take(found_order), 64, False, heads, len(lanes), problem, backward, exact=True)
            if tiled[0] < seconds:
                (seconds, best), order = tiled, found_order
        total += seconds
        pairs += heads * sum(_cost.pairs(call) for calls in best for call in calls)
        chosen.append((lanes, best))
    return _Schedule(Job(chosen, order), total, pairs)


def _grid(spans: Spans) -> Any:
    """The order of rows in tiles, where there is a grid, and looking for the keys of tiles takes no long time."""
    return tiles(spans) if len(spans) > 2 and spans.lo.size <= _SEARCHED else None


def _costed(
    spans: Spans, size: int, apart: bool, heads: int, runs: int, problem: Problem, backward: bool, exact: bool = False
) -> tuple[float, list[list[Call]]]:
    option = layers(spans, size, apart, _fused.fused(), exact)
    return _cost.seconds(option, heads, runs, problem, backward), option
