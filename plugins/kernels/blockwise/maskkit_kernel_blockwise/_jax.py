"""Loops over blocks in JAX, forward and backward: one `scan` for all blocks of one shape.

Arrays of heads are taken as lanes (batch * heads of key and value, length, width); those of the query have the heads
that share a lane between. A step computes one block of rows for some lanes: softmax over all keys that it reads, so
nothing is rescaled later. What lies around in a step is the scores of one block; all else is as long as the arrays.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from attrs import evolve
from jax import lax
from maskkit import Problem
from maskkit.limits import Recent
from maskkit_kernel_blockwise import _plan
from maskkit_kernel_blockwise._plan import Block, Group, Job

_calls = Recent()
_ZERO = np.int32(0)
"""Places are int32, with 64-bit numbers too."""


class _Call:
    """The compiled call of a problem, which JAX knows again by its identity."""

    nbytes = 2**16

    def __init__(self, problem: Problem, rows: int | None) -> None:
        self.run = jax.jit(_attention(problem, rows))


def attend(query: Any, key: Any, value: Any, problem: Problem, rows: int | None) -> Any:
    out, lse = compiled(problem, rows)(query, key, value)
    return (out, lse) if problem.return_lse else out


def compiled(problem: Problem, rows: int | None) -> Any:
    """Attention of equal masks and shapes: one function, which JAX compiles once."""
    plain = evolve(problem, training=False, return_lse=False)  # what is compiled anyway
    call: _Call = _calls.get((plain, rows), lambda: _Call(plain, rows))
    return call.run


def _attention(problem: Problem, rows: int | None) -> Any:
    """Attention with a backward pass of its own, whose schedule is made when it is first traced."""

    @jax.custom_vjp
    def attention(query: Any, key: Any, value: Any) -> Any:
        return forward(query, key, value)[0]

    def forward(query: Any, key: Any, value: Any) -> Any:
        job = _plan.job(problem, rows)
        out, lse = _forward(job, *_lanes(job, query, key, value), problem.factor)
        results = out.reshape(*query.shape[:3], -1), lse.reshape(query.shape[:3])
        return results, (query, key, value, *results)

    def backward(saved: Any, grads: Any) -> Any:
        query, key, value, out, lse = saved
        job = _plan.job(problem, rows)
        wide = lse.dtype
        apart = (grads[0].astype(wide) * out.astype(wide)).sum(-1) - grads[1]  # what a row's scores have in common
        q, k, v = _lanes(job, query, key, value)
        of_rows = (x.reshape(*q.shape[:3], *x.shape[3:]) for x in (grads[0], lse, apart))
        found = _backward(job, q, k, v, *of_rows, problem.factor)
        return tuple(x.reshape(like.shape).astype(like.dtype) for x, like in zip(found, saved[:3], strict=True))

    attention.defvjp(forward, backward)
    return attention


def _lanes(job: Job, query: Any, key: Any, value: Any) -> Any:
    """Query (lanes, heads that share a key, length, width), key and value (lanes, length, width)."""
    k, v = (x.reshape(-1, *x.shape[2:]) for x in (key, value))
    return query.reshape(-1, job.share, *query.shape[2:]), k, v


def _forward(job: Job, q: Any, k: Any, v: Any, scale: float) -> Any:
    """Output and log-sum-exp of lanes."""
    [q] = _ordered(job, q)
    wide = jnp.promote_types(q.dtype, jnp.float32)
    out = jnp.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    lse = jnp.full(q.shape[:-1], -jnp.inf, wide)
    for group in job.groups:

        def step(results: Any, block: Block, group: Group = group) -> Any:
            out, lse = results
            keys, values = (_keys(group, block, x).astype(wide) for x in (k, v))
            scores, mine = _scores(job, group, block, q, keys, scale)
            highest = scores.max(-1, keepdims=True)
            highest = jnp.where(highest == -jnp.inf, 0, highest)
            weights = jnp.exp(scores - highest)
            total = weights.sum(-1, keepdims=True)
            new = _product("lgrk,lkd->lgrd", weights, values) / jnp.where(total == 0, 1, total)
            new_lse = (jnp.log(total) + highest)[..., 0]
            was, was_lse = (_rows(job, group, block, x) for x in results)
            new = jnp.where(mine[:, None], new.astype(out.dtype), was)
            return (_put(block, out, new), _put(block, lse, jnp.where(mine, new_lse, was_lse))), None

        (out, lse), _ = lax.scan(step, (out, lse), group.blocks)
    return tuple(_ordered(job, out, lse, back=True))


def _backward(job: Job, q: Any, k: Any, v: Any, grad: Any, lse: Any, apart: Any, scale: float) -> Any:
    """Gradients of query, key and value: the weights anew from the log-sum-exp, block by block."""
    q, grad, lse, apart = _ordered(job, q, grad, lse, apart)
    wide = lse.dtype
    lse = jnp.where(lse == -jnp.inf, 0, lse)  # a row that sees nothing: its weights are exp(-inf - 0)
    grads = tuple(jnp.zeros(x.shape, wide) for x in (q, k, v))
    for group in job.groups:

        def step(grads: Any, block: Block, group: Group = group) -> Any:
            of_q, of_k, of_v = grads
            keys, values = (_keys(group, block, x).astype(wide) for x in (k, v))
            scores, mine = _scores(job, group, block, q, keys, scale)
            read = (_rows(job, group, block, x).astype(wide) for x in (q, grad, lse, apart))
            # rows of other blocks may be anything, NaN too
            rows, given, its_lse, its_apart = (jnp.where(mine[(..., *[None] * (x.ndim - 3))], x, 0) for x in read)
            blocked = scores == -jnp.inf  # there nothing is handed on, whatever its row has elsewhere
            weights = jnp.where(blocked, 0, jnp.exp(scores - its_lse[..., None]))
            of_weights = _product("lgrd,lkd->lgrk", given, values)
            of_scores = jnp.where(blocked, 0, weights * (of_weights - its_apart[..., None]) * scale)
            new = jnp.where(mine[:, None], _product("lgrk,lkd->lgrd", of_scores, keys), _rows(job, group, block, of_q))
            of_k = _add_keys(group, block, of_k, _product("lgrk,lgrd->lkd", of_scores, rows))
            of_v = _add_keys(group, block, of_v, _product("lgrk,lgrd->lkd", weights, given))
            return (_put(block, of_q, new), of_k, of_v), None

        grads, _ = lax.scan(step, grads, group.blocks)
    return *_ordered(job, grads[0], back=True), *grads[1:]


def _scores(job: Job, group: Group, block: Block, q: Any, keys: Any, scale: float) -> Any:
    """The scores of a block, -inf where it is blocked; and which of its rows are its own."""
    row = block.query + jnp.arange(job.rows, dtype=jnp.int32)
    mine = (row >= block.first) & (row < block.last)
    at = _places(group, block)
    lo, hi = (
        lax.dynamic_slice(ends, (block.plane, _ZERO, block.query), (1, ends.shape[1], job.rows))[0]
        for ends in (job.lo, job.hi)
    )
    allowed = ((at >= lo[..., None]) & (at < hi[..., None])).any(0) & mine[:, None]
    rows = _rows(job, group, block, q).astype(keys.dtype) * scale
    return jnp.where(allowed, _product("lgrd,lkd->lgrk", rows, keys), -jnp.inf), mine


def _rows(job: Job, group: Group, block: Block, x: Any) -> Any:
    """The rows of a block, of an array (lanes, heads, length, ...)."""
    rest = (_ZERO,) * (x.ndim - 3)
    return lax.dynamic_slice(
        x, (block.lane, _ZERO, block.query, *rest), (group.lanes, x.shape[1], job.rows, *x.shape[3:])
    )


def _put(block: Block, x: Any, new: Any) -> Any:
    return lax.dynamic_update_slice(x, new, (block.lane, _ZERO, block.query, *(_ZERO,) * (x.ndim - 3)))


def _places(group: Group, block: Block) -> Any:
    """The keys that a block reads, its runs side by side; -1 where they are not its own."""
    return jnp.concatenate(
        [
            jnp.where((at >= block.low[run]) & (at < block.high[run]), at, -1)
            for run, size in enumerate(group.sizes)
            for at in [block.starts[run] + jnp.arange(size, dtype=jnp.int32)]
        ]
    )


def _keys(group: Group, block: Block, x: Any) -> Any:
    """The keys of a block; zeros where they are not its own, which may be anything."""
    runs = [
        lax.dynamic_slice(x, (block.key_lane, block.starts[run], _ZERO), (group.lanes, size, x.shape[-1]))
        for run, size in enumerate(group.sizes)
    ]
    return jnp.where(_places(group, block)[:, None] >= 0, jnp.concatenate(runs, 1), 0)


def _add_keys(group: Group, block: Block, total: Any, new: Any) -> Any:
    first = 0
    for run, size in enumerate(group.sizes):
        place = block.key_lane, block.starts[run], _ZERO
        was = lax.dynamic_slice(total, place, (group.lanes, size, total.shape[-1]))
        total = lax.dynamic_update_slice(total, was + new[:, first : first + size], place)
        first += size
    return total


def _product(subscripts: str, one: Any, other: Any) -> Any:
    return jnp.einsum(subscripts, one, other, precision=lax.Precision.HIGHEST)


def _ordered(job: Job, *arrays: Any, back: bool = False) -> Any:
    """Rows in the order of the job, or back from it."""
    if job.order is None:
        return arrays
    order = job.order.argsort() if back else job.order
    return [jnp.take(x, order, axis=2) for x in arrays]
