"""Attention with gradients: a function of Torch's autograd, or two operators of a graph that `torch.compile` makes.

The graph's operators hold no mask but the name of a problem, and nobody looks into them; called eagerly, operators cost
more than the function.
"""

from typing import Any

import torch
from maskkit import Problem
from maskkit_kernel_area import _plan, _torch

COMPUTED = {torch.float16: torch.float32}
"""Dtypes that are computed in another: twice as fast as float16 is on CPUs forward, six times with gradients."""


def attend(query: Any, key: Any, value: Any, rows: int | None, problem: Problem) -> Any:
    """Output, and log-sum-exp if it is asked for; `rows` of a block, None for what is cheapest."""
    wide = max(problem.head_dim, problem.value_dim)
    dtype = COMPUTED.get(query.dtype, query.dtype)
    q, k, v = (_torch.padded(x, wide).reshape(-1, x.shape[2], wide).to(dtype).contiguous() for x in (query, key, value))
    if problem.traced:
        out, lse = _forward_op(q, k, v, rows, problem.remember())
    else:
        out, lse = _Attend.apply(q, k, v, rows, problem)
    out = out.view(*query.shape[:3], wide)[..., : problem.value_dim].to(query.dtype)
    return (out, lse.view(query.shape[:3])) if problem.return_lse else out


class _Attend(torch.autograd.Function):
    """Attention of lanes; the backward pass has a schedule of its own, made when it is first needed."""

    @staticmethod
    def forward(q: Any, k: Any, v: Any, rows: int | None, problem: Problem) -> Any:
        return _forward(q, k, v, rows, problem)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        *arrays, ctx.rows, ctx.problem = inputs
        ctx.save_for_backward(*arrays, *output)
        ctx.set_materialize_grads(False)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Any, grad_lse: Any) -> Any:
        return *_gradients(grad, grad_lse, *ctx.saved_tensors, ctx.rows, ctx.problem), None, None


def _forward(q: Any, k: Any, v: Any, rows: int | None, problem: Problem) -> Any:
    return _torch.forward(_plan.job(problem, rows, backward=False), q, k, v, problem.factor)


def _gradients(*given: Any) -> list[torch.Tensor]:
    *arrays, rows, problem = given
    return _torch.gradients(_plan.job(problem, rows, backward=True), *arrays, problem.factor)


@torch.library.custom_op("maskkit_kernel_area::forward", mutates_args=())
def _forward_op(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int | None, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    return _forward(q, k, v, rows, Problem.remembered(name))


@_forward_op.register_fake
def _(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, rows: int | None, name: str
) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.empty_like(q), q.new_empty(q.shape[:2], dtype=_torch.WIDE.get(q.dtype, q.dtype))


@torch.library.custom_op("maskkit_kernel_area::backward", mutates_args=())
def _backward_op(
    grad: torch.Tensor | None,
    grad_lse: torch.Tensor | None,
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    out: torch.Tensor,
    lse: torch.Tensor,
    rows: int | None,
    name: str,
) -> list[torch.Tensor]:
    grads = _gradients(grad, grad_lse, q, k, v, out, lse, rows, Problem.remembered(name))
    return [x.contiguous() for x in grads]


@_backward_op.register_fake
def _(grad: Any, grad_lse: Any, q: Any, k: Any, v: Any, out: Any, lse: Any, rows: Any, name: str) -> list[torch.Tensor]:
    return [torch.empty_like(x) for x in (q, k, v)]


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    *arrays, ctx.rows, ctx.name = inputs
    ctx.save_for_backward(*arrays, *output)
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad: Any, grad_lse: Any) -> Any:
    return *_backward_op(grad, grad_lse, *ctx.saved_tensors, ctx.rows, ctx.name), None, None


_forward_op.register_autograd(_differentiate, setup_context=_keep)
