"""Calls of a schedule on Torch: strided views of keys, one fused call each, and a backward pass of its own.

Arrays of heads are taken as lanes (batch * heads, length, width). A lane of the query reads one of key and value; those
that share it have the same place in their groups, so that every view stays a view.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from maskkit_blocks import Call, Runs, Strips
from maskkit_kernel_area import _fused

_KEPT_CELLS = 2**16
"""Up to so many cells what a call blocks is kept as floats; beyond, making it anew costs little beside the call."""
_TEMPORARY = 2**19
"""Elements of the largest temporary array, which then stays in the cache; blocks of a call beyond come in another."""
WIDE = {torch.bfloat16: torch.float32}
"""In what sums over several calls are held."""


class Lanes(NamedTuple):
    """Heads under one plane: of key and value the lanes first, first + step, ..; of the query the same times `group`,
    plus `member`."""

    first: int
    step: int
    count: int
    member: int
    group: int

    def of_query(self, x: torch.Tensor, start: int, step: int, count: int, size: int) -> torch.Tensor:
        return _view(
            x, self.first * self.group + self.member, self.step * self.group, self.count, start, step, count, size
        )

    def of_key(self, x: torch.Tensor, start: int, step: int, count: int, size: int) -> torch.Tensor:
        return _view(x, self.first, self.step, self.count, start, step, count, size)

    def rows(self, x: torch.Tensor) -> torch.Tensor:
        """The lanes of key or value."""
        return x[self.first : self.first + (self.count - 1) * self.step + 1 : self.step]


def lanes_of(of: Any, plane: int, kv_heads: int) -> list[Lanes]:
    """The lanes of a plane, from the plane of every (sample, head)."""
    group = of.shape[1] // kv_heads
    found = []
    for member in range(group):
        these = np.flatnonzero(of[:, member::group].ravel() == plane).tolist()
        start = 0
        while start < len(these):
            stop = start + 1
            step = these[stop] - these[start] if stop < len(these) else 1
            while stop < len(these) and these[stop] - these[stop - 1] == step:
                stop += 1
            found.append(Lanes(these[start], step, stop - start, member, group))
            start = stop
    return found


class Job(NamedTuple):
    """For every plane its lanes and the layers of its calls; of a grid for every pattern of its strips."""

    planes: list[tuple[list[Lanes], list[list[Call]]]]
    grid: list[Strips] | None = None


def _view(x: torch.Tensor, lane: int, lane_step: int, lanes: int, start: int, step: int, count: int, size: int) -> Any:
    """(lanes, count, size, ...) of an array (all lanes, length, ...), of which blocks may overlap."""
    of_lane, of_row = x.stride()[:2]
    rest = tuple(x.shape[2:])
    return x.as_strided(
        (lanes, count, size, *rest),
        (lane_step * of_lane, step * of_row, of_row, *x.stride()[2:]),
        x.storage_offset() + lane * of_lane + start * of_row,
    )


def _parts(call: Call, lanes: Lanes, width: int, backward: bool) -> Any:
    """The blocks of a call in several, whose temporary arrays are no larger than they may be."""
    each = (
        lanes.count
        * width
        * (2 * call.width if backward else max(call.rows, call.width if call.runs is not None else 0))
    )
    most = max(1, _TEMPORARY // each)
    for first in range(0, call.count, most):
        yield first, min(call.count, first + most)


def _bias(call: Call, like: torch.Tensor) -> torch.Tensor | None:
    """0 where the block allows, -inf where it blocks."""
    if call.lo is None or call.hi is None:
        return None
    bias = call.kept.get(like.dtype)
    if bias is None:
        lo, hi = (torch.from_numpy(ends)[..., None] for ends in (call.lo, call.hi))
        key = torch.arange(call.width, dtype=torch.int32)
        allowed = ((key >= lo) & (key < hi)).any(0)
        bias = torch.zeros(allowed.shape, dtype=like.dtype).masked_fill_(~allowed, -torch.inf)
        if bias.numel() <= _KEPT_CELLS:
            call.kept[like.dtype] = bias
    return bias


def _keys(call: Call, lanes: Lanes, x: torch.Tensor, first: int, stop: int) -> torch.Tensor:
    if call.runs is None:
        return lanes.of_key(x, call.key + first * call.key_step, call.key_step, stop - first, call.width)
    index = torch.from_numpy(call.gathered(first, stop)).reshape(-1)
    return lanes.rows(x).index_select(1, index).view(lanes.count, stop - first, call.width, x.shape[-1])


def _add_keys(call: Call, lanes: Lanes, total: torch.Tensor, part: torch.Tensor, first: int, stop: int) -> None:
    """Add what the keys of blocks get; those of neighbours overlap, so they are added in turns that do not."""
    count, start = stop - first, call.key + first * call.key_step
    if call.runs is not None:
        index = torch.from_numpy(call.gathered(first, stop)).reshape(-1)
        lanes.rows(total).index_add_(1, index, part.reshape(lanes.count, -1, part.shape[-1]).to(total.dtype))
    elif call.key_step == 0:
        lanes.of_key(total, start, 0, 1, call.width).add_(part.sum(1, keepdim=True))
    else:
        turns = min(count, -(-call.width // call.key_step))
        for turn in range(turns):
            some = part[:, turn::turns]
            at = start + turn * call.key_step
            lanes.of_key(total, at, call.key_step * turns, some.shape[1], call.width).add_(some)


def _apart(job: Job, q: torch.Tensor, k: torch.Tensor) -> Call | None:
    """The call, if there is but one, and its blocks are all there is of queries and keys, one beside the other: then
    what it gives is the whole, and nothing is added or copied."""
    match job:
        case Job([([lanes], [[call]])], None) if lanes == Lanes(0, 1, len(q), 0, 1):
            queries, keys = ((0, size, size * call.count) for size in (call.rows, call.width))
            steps = (call.query_step, call.key_step) if call.count > 1 else (call.rows, call.width)
            found = (call.query, steps[0], q.shape[1]), (call.key, steps[1], k.shape[1])
            return call if found == (queries, keys) and call.runs is None else None
    return None


def forward(
    job: Job, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Output and log-sum-exp of lanes."""
    if job.grid is None:
        return _forward(job, q, k, v, scale)
    out, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=WIDE.get(q.dtype, q.dtype))
    for strips, part, lanes, of_query in _by_strips(job, k):
        given = _taken(strips.queries, q[of_query]), *(_taken(strips.keys, x[lanes]) for x in (k, v))
        for whole, found in zip((out, lse), _forward(part, *given, scale), strict=True):
            place = _places(strips.queries, whole[of_query])
            place.copy_(found.view(place.shape))
    return out, lse


def _by_strips(job: Job, k: torch.Tensor) -> Iterator[tuple[Strips, Job, slice, slice]]:
    """Strips of one pattern in a few lanes at a time, which are the lanes of a job; and which those are, of key and of
    query."""
    assert job.grid is not None
    for strips, (every, layers) in zip(job.grid, job.planes, strict=True):
        few, group = max(1, _TEMPORARY // (strips.keys.strips * strips.keys.size * k.shape[-1])), every[0].group
        for first in range(0, len(k), few):
            stop = min(first + few, len(k))
            lanes = [one._replace(count=(stop - first) * strips.keys.strips) for one in every]
            yield strips, Job([(lanes, layers)]), slice(first, stop), slice(first * group, stop * group)


def _places(runs: Runs, x: torch.Tensor) -> torch.Tensor:
    """A view of an array (lanes, length, ...): (strips, lanes, lines, width, ...)."""
    of_lane, of_row = x.stride()[:2]
    return x.as_strided(
        (runs.strips, len(x), runs.lines, runs.width, *x.shape[2:]),
        (runs.apart * of_row, of_lane, runs.step * of_row, of_row, *x.stride()[2:]),
        x.storage_offset() + runs.start * of_row,
    )


def _taken(runs: Runs, x: torch.Tensor) -> torch.Tensor:
    """Every strip of every lane as a lane."""
    return _places(runs, x).reshape(runs.strips * len(x), runs.size, *x.shape[2:])


def _forward(
    job: Job, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    if call := _apart(job, q, k):
        blocks = (x.view(-1, 1, size, x.shape[-1]) for x, size in ((q, call.rows), (k, call.width), (v, call.width)))
        out, lse = _fused.forward(*blocks, _bias(call, q), scale)
        if call.sees is not None:
            lse = lse.masked_fill(~torch.from_numpy(call.sees), -torch.inf)
        return out.view(q.shape), lse.view(q.shape[:2])
    several = any(len(layers) > 1 for _, layers in job.planes)
    out = torch.zeros_like(q, dtype=WIDE.get(q.dtype, q.dtype) if several else q.dtype)
    lse = torch.full(q.shape[:2], -torch.inf, dtype=WIDE.get(q.dtype, q.dtype))
    for every, layers in job.planes:
        for lanes in every:
            for layer, calls in enumerate(layers):
                for call in calls:
                    bias, sees = _bias(call, q), call.sees
                    for first, stop in _parts(call, lanes, q.shape[-1], backward=False):
                        place = call.query + first * call.query_step, call.query_step, stop - first, call.rows
                        keys, values = (_keys(call, lanes, x, first, stop) for x in (k, v))
                        new, new_lse = _fused.forward(lanes.of_query(q, *place), keys, values, bias, scale)
                        if sees is not None:
                            new_lse = new_lse.masked_fill(~torch.from_numpy(sees), -torch.inf)
                        to, to_lse = lanes.of_query(out, *place), lanes.of_query(lse, *place)
                        _merge(to, to_lse, new, new_lse) if layer else (to.copy_(new), to_lse.copy_(new_lse))
    return out.to(q.dtype), lse


def _merge(out: torch.Tensor, lse: torch.Tensor, new: torch.Tensor, new_lse: torch.Tensor) -> None:
    """Softmax over two sets of keys, from the softmax over each: weighted by their shares of the sum, exactly."""
    total = torch.logaddexp(lse, new_lse)
    finite = torch.where(total == -torch.inf, 0, total)
    out.mul_((lse - finite).exp()[..., None]).addcmul_(
        new.to(out.dtype), (new_lse - finite).exp()[..., None].to(out.dtype)
    )
    lse.copy_(total)


def _backward(job: Job, grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, scale: float) -> list[torch.Tensor]:
    """Gradients of query, key and value, from the whole output and log-sum-exp: calls then add up."""
    if job.grid is None:
        found = _added_up(job, grad, q, k, v, out, lse, scale)
        return [total.to(x.dtype) for total, x in zip(found, (q, k, v), strict=True)]
    grads = [torch.zeros_like(x, dtype=WIDE.get(x.dtype, x.dtype)) for x in (q, k, v)]
    for strips, part, lanes, of_query in _by_strips(job, k):
        its_grad, its_q, its_out, its_lse = (_taken(strips.queries, x[of_query]) for x in (grad, q, out, lse))
        its_k, its_v = (_taken(strips.keys, x[lanes]) for x in (k, v))
        found = _added_up(part, its_grad, its_q, its_k, its_v, its_out, its_lse, scale)
        wholes = grads[0][of_query], grads[1][lanes], grads[2][lanes]
        for runs, whole, new in zip((strips.queries, strips.keys, strips.keys), wholes, found, strict=True):
            places = _places(runs, whole)
            for place, one in zip(places, new.view(places.shape), strict=True):  # keys of neighbours overlap
                place.add_(one)
    return [total.to(x.dtype) for total, x in zip(grads, (q, k, v), strict=True)]


def _added_up(job: Job, grad: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, scale: float) -> list[torch.Tensor]:
    """What every call gives, added in the dtype of sums."""
    lse = torch.where(lse == -torch.inf, 0, lse)  # a row that sees nothing: its weights are exp(-inf - 0)
    if call := _apart(job, q, k):
        blocks = [x.view(-1, 1, call.rows, *x.shape[2:]) for x in (grad, q, out, lse)]
        keys = (x.view(-1, 1, call.width, x.shape[-1]) for x in (k, v))
        parts = _fused.backward(*blocks[:2], *keys, *blocks[2:], _bias(call, q), scale)
        return [part.view(x.shape) for part, x in zip(parts, (q, k, v), strict=True)]
    grads = [torch.zeros_like(x, dtype=WIDE.get(x.dtype, x.dtype)) for x in (q, k, v)]
    for every, layers in job.planes:
        for lanes in every:
            for call in (call for calls in layers for call in calls):
                bias = _bias(call, q)
                for first, stop in _parts(call, lanes, q.shape[-1], backward=True):
                    place = call.query + first * call.query_step, call.query_step, stop - first, call.rows
                    keys, values = (_keys(call, lanes, x, first, stop) for x in (k, v))
                    given, asked, got, total = (lanes.of_query(x, *place) for x in (grad, q, out, lse))
                    parts = _fused.backward(given, asked, keys, values, got, total, bias, scale)
                    lanes.of_query(grads[0], *place).add_(parts[0])
                    for whole, part in zip(grads[1:], parts[1:], strict=True):
                        _add_keys(call, lanes, whole, part, first, stop)
    return grads


def gradients(job: Job, grad: Any, grad_lse: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, scale: float) -> Any:
    """Of query, key and value, from those of output and log-sum-exp; None for one that nobody asked for."""
    grad = torch.zeros_like(out) if grad is None else grad.contiguous()
    width = q.shape[-1]
    if grad_lse is not None:
        # The fused call takes from every score's gradient the row's sum of grad * out. One column more, of 1 and
        # -grad_lse, adds grad_lse to it, and beside zeros in the values nothing else.
        seen = torch.where(lse == -torch.inf, 0, -grad_lse)[..., None]
        q, k, v = (padded(x, width + 1) for x in (q, k, v))
        grad = torch.cat([grad, torch.ones_like(grad[..., :1])], -1)
        out = torch.cat([out, seen.to(out.dtype)], -1)
    return [x[..., :width] for x in _backward(job, grad, q, k, v, out, lse, scale)]


def padded(x: torch.Tensor, width: int) -> torch.Tensor:
    """With zeros up to a width; padding by nothing would be a copy."""
    return x if x.shape[-1] == width else torch.nn.functional.pad(x, (0, width - x.shape[-1]))
