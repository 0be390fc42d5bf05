"""From spans to loops: blocks of queries with the runs of keys that they read, put together by shape.

A loop computes blocks of one shape, so blocks that read fewer keys read some for nothing; a handful of widths is
enough, and so what is compiled does not grow with the mask. What a row of a block may see is looked up in the spans.
"""

from math import gcd, inf
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from attrs import evolve, frozen
from maskkit import Cost, Problem, Spans
from maskkit.limits import Recent
from maskkit_blocks import blocks, tiles
from maskkit_kernel_blockwise import _cost

Ints = npt.NDArray[np.int32]

_ROWS = {160: (32,), 1024: (64,), inf: (64, 128)}
"""Blocks that are tried where rows see up to so many keys."""
_TILES = 64
"""Rows of a block where they stand in tiles."""
_LOOPS = 8
"""At most: what is compiled stays small."""
_SPARE = 0.02
"""Of all keys that blocks read, so many for nothing are not worth another loop."""
_SHAPES = 64
"""Widths that are told apart, about."""
_RUNS = 4
"""Runs of keys that a block has, at most; the nearest are joined."""
_CELLS = 2**20
"""Scores of a step, about: then they stay in the cache."""
_STEP = 16
"""Keys of a block are a multiple of it."""
_SEARCHED = 2**18
"""Intervals, of all rows, among which keys of tiles are looked for."""
_found = Recent()


class NoSpans(Exception):
    """The mask has no spans."""


class Block(NamedTuple):
    """What a step is told; arrays over all blocks of a loop.

    Attributes:
        lane, key_lane: the first lane of query and of key.
        plane: whose spans.
        query, first, last: the first row that is read, and the rows that are the block's own.
        starts: the first key of every run that is read (blocks, runs).
        low, high: the keys of every run that are the block's own.
    """

    lane: Ints
    key_lane: Ints
    plane: Ints
    query: Ints
    first: Ints
    last: Ints
    starts: Ints
    low: Ints
    high: Ints


@frozen(eq=False)
class Group:
    """Blocks of one shape: so many lanes, and so many keys of every run."""

    lanes: int
    sizes: tuple[int, ...]
    blocks: Block

    @property
    def width(self) -> int:
        return sum(self.sizes)

    @property
    def count(self) -> int:
        return len(self.blocks.lane)


@frozen(eq=False)
class Job:
    """All loops of a pass, forward or backward.

    Attributes:
        rows: of a block.
        share: heads of the query in a lane.
        lo, hi: the spans of all planes (planes, intervals, rows).
        groups: the loops.
        order: of the queries, which they are brought into before.
    """

    rows: int
    share: int
    lo: Ints
    hi: Ints
    groups: list[Group]
    order: Any

    @property
    def pairs(self) -> int:
        """Of query and key that are computed."""
        return sum(group.count * group.lanes * self.share * self.rows * group.width for group in self.groups)

    @property
    def nbytes(self) -> int:
        """Of its arrays."""
        tables = sum(array.nbytes for group in self.groups for array in group.blocks)
        return 1024 + tables + self.lo.nbytes + self.hi.nbytes


def cost(problem: Problem, rows: int | None) -> Cost:
    """The estimate, and what is computed and held for it."""
    found = job(problem, rows)
    seconds = sum(_cost.seconds(found, problem, backward) for backward in (False, True)[: 1 + problem.training])
    return Cost(seconds, pairs=found.pairs, nbytes=found.nbytes)


def job(problem: Problem, rows: int | None) -> Job:
    """The cheapest job, made once for every mask and shapes."""
    plain = evolve(problem, scale=None, training=False, return_lse=False)  # what does not change it
    found: Job = _found.get((plain, rows), lambda: _make(plain, rows))
    return found


def _make(problem: Problem, rows: int | None) -> Job:
    found = problem.planes()
    if found is None:
        raise NoSpans
    planes, of = found
    group = problem.heads // problem.kv_heads
    of = of.reshape(-1, group)
    if (of != of[:, :1]).any():  # heads that share a key see others of it
        of, key_lanes, share = of.reshape(-1, 1), np.arange(of.size) // group, 1
    else:
        of, key_lanes, share = of[:, :1], np.arange(len(of)), group
    seen = np.mean([spans.counts().mean() for spans in planes])
    sizes = (rows,) if rows else next(sizes for most, sizes in _ROWS.items() if seen <= most)
    options: list[tuple[list[Spans], int, Any]] = [(planes, min(size, problem.queries), None) for size in sizes]
    if len(planes) == 1 and len(planes[0]) > 2 and planes[0].lo.size <= _SEARCHED:
        order = tiles(planes[0])
        if order is not None:
            options.append(([planes[0].take(order)], min(_TILES, problem.queries), order))
    jobs = [_job(problem, spans, of[:, 0], key_lanes, share, size, order) for spans, size, order in options]
    return min(jobs, key=lambda one: _cost.seconds(one, problem, backward=False))


def _job(problem: Problem, planes: list[Spans], of: Any, key_lanes: Any, share: int, rows: int, order: Any) -> Job:
    depth = max(len(spans) for spans in planes)
    lo, hi = (
        np.stack([np.pad(np.asarray(ends(spans), np.int32), ((0, depth - len(spans)), (0, 0))) for spans in planes])
        for ends in (lambda spans: spans.lo, lambda spans: spans.hi)
    )
    changes = np.flatnonzero(of[1:] != of[:-1]) + 1
    together = gcd(len(of), *changes.tolist()) if share * len(of) == problem.batch * problem.heads else 1
    found = [blocks(spans, rows, exact=order is not None) for spans in planes]
    plane = np.repeat(np.arange(len(planes)), [len(some.first) for some in found])
    parts = [(some.first, some.last, *_joined(some.runs)) for some in found]
    first, last, low, high = map(np.concatenate, zip(*parts, strict=True))
    groups = []
    worth = _cost.LOOP / (_cost.PAIR[True] * share * len(of) / len(planes) * rows)
    worth = max(worth, _SPARE * float((high - low).sum()))
    for some, most in _shapes(high - low, worth):
        sizes = tuple(np.minimum(most, problem.keys).tolist())
        lanes = _lanes(together, share * rows * sum(sizes))
        starting = np.arange(0, len(of), lanes)
        one, lane = (x.ravel() for x in np.meshgrid(some, starting, indexing="ij"))
        mine = plane[one] == of[lane]
        one, lane = one[mine], lane[mine]
        runs = slice(0, len(sizes))
        table = Block(
            lane,
            key_lanes[lane],
            plane[one],
            np.minimum(first[one], problem.queries - rows),
            first[one],
            last[one],
            np.minimum(low[one, runs], problem.keys - np.array(sizes)),
            low[one, runs],
            high[one, runs],
        )
        groups.append(Group(lanes, sizes, Block(*(array.astype(np.int32) for array in table))))
    return Job(rows, share, lo, hi, groups, order)


def _lanes(together: int, cells: int) -> int:
    """How many lanes a step computes, of so many that see the same."""
    most = max(1, _CELLS // cells)
    return max(size for size in range(1, min(together, most) + 1) if together % size == 0)


def _joined(runs: Spans) -> tuple[Any, Any]:
    """The first key and the end of every run of blocks (blocks, runs), empty ones last and 0.

    No more than `_RUNS`: of each block the two that are nearest become one.
    """
    low, high = (np.where(runs.lo < runs.hi, ends, 0).T for ends in (runs.lo, runs.hi))
    while low.shape[1] > _RUNS:
        empty = low[:, 1:] == high[:, 1:]
        gap = np.where(empty, -1, low[:, 1:] - high[:, :-1])
        at, run = gap.argmin(axis=1)[:, None], np.arange(low.shape[1])
        ends = at + np.take_along_axis(empty, at, axis=1)  # an empty run is left out whole
        low, high = (x[run != drop].reshape(len(x), -1) for x, drop in ((low, at + 1), (high, ends)))
    blank = np.zeros((len(low), _RUNS - low.shape[1]), int)
    return np.hstack([low, blank]), np.hstack([high, blank])


def _shapes(sizes: Any, worth: float) -> Any:
    """Blocks that are computed in one loop, and how many keys of each run it reads.

    Blocks of nearest shape are put together, until another loop saves more cells of a row than it is worth.
    """
    step = max(_STEP, -(-int(sizes.sum(1).max(initial=0)) // _SHAPES))
    shapes, of, times = np.unique(-(-sizes // step), axis=0, return_inverse=True, return_counts=True)
    of, order = of.ravel(), np.lexsort((shapes.sum(1), (shapes > 0).sum(1)))
    shapes, times, sets = shapes[order] * step, times[order], [[one] for one in order.tolist()]
    while len(sets) > 1:
        both = np.maximum(shapes[1:], shapes[:-1])
        cells = times * shapes.sum(1)
        more = (times[1:] + times[:-1]) * both.sum(1) - cells[1:] - cells[:-1]
        at = int(more.argmin())
        if more[at] > worth and len(sets) <= _LOOPS:
            break
        shapes[at], times[at], sets[at] = both[at], times[at] + times[at + 1], sets[at] + sets[at + 1]
        shapes, times = np.delete(shapes, at + 1, 0), np.delete(times, at + 1)
        del sets[at + 1]
    for one in sets:
        these = np.flatnonzero(np.isin(of, one))
        most = -(-sizes[these].max(0) // _STEP) * _STEP
        if most.any():
            yield these, most[: np.count_nonzero(most)]
