"""`attend` under `torch.compile`: one graph, and the same one for equal masks."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import torch
from attrs import evolve, fields
from torch.utils._python_dispatch import _disable_current_modes
from maskkit.kernels.attend import autocast, has_kernels, plan_of
from maskkit.kernels.problem import Problem, problem_of
from maskkit.registry.item import Item, Kernel, as_constants
from maskkit.registry.loader import registry

_asked: dict[str, tuple[Any, Any]] = {}
"""Masks and kernels by their names in graphs, which hold tensors, numbers and strings alone."""


def attend(query: Any, key: Any, value: Any, mask: Any, kernel: Any, *options: Any) -> Any:
    """What Dynamo traces of `maskkit.attend`: a call that it does not look into."""
    _know_constants()
    return _computed(query, key, value, _name((mask, kernel)), *options)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _know_constants() -> bool:
    as_constants(Item.subclasses())  # of those that were there before Torch
    return True


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def has_any() -> bool:
    """Whether any kernel is installed."""
    return has_kernels(registry.changes)


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _name(constants: tuple[Any, Any]) -> str:
    """In a tuple, for what is in one Dynamo compares by value, and an argument of its own by identity."""
    name, (mask, kernel) = uuid4().hex, constants
    with _disable_current_modes():
        _asked[name] = mask if mask is None else _with_numpy(mask), kernel
    return name


def _with_numpy(mask: Any) -> Any:
    """The mask with NumPy's arrays in place of tensors, whose values nobody may read while a graph is made."""
    tensors = {a.alias: x for a in fields(type(mask)) if isinstance(x := getattr(mask, a.name), torch.Tensor)}
    host = {name: (x.float() if x.is_floating_point() else x).detach().cpu().numpy() for name, x in tensors.items()}
    mask = evolve(mask, **host) if host else mask
    return mask.with_parts(tuple(map(_with_numpy, mask.parts))) if mask.parts else mask


@torch.compiler.allow_in_graph  # type: ignore[untyped-decorator]
def _computed(
    query: Any, key: Any, value: Any, name: str, gqa: bool, scale: float | None, dropout_p: float, return_lse: bool
) -> Any:
    """It runs while the graph is made, on tensors without values: what a kernel calls of Torch is the graph."""
    mask, kernel = _asked[name]
    options = dict(scale=None if scale is None else float(scale), dropout_p=float(dropout_p), return_lse=return_lse)
    query, key, value = autocast(query, key, value)
    with _disable_current_modes():  # a plan is made of real arrays
        problem = problem_of(query, key, value, mask, enable_gqa=gqa, traced=True, **options)
        chosen = plan_of(problem, kernel).kernel
    if chosen.traceable:
        return chosen.attend(query, key, value, mask, problem)
    name = f"{problem.remember()} {chosen!r}"
    _chosen[name] = chosen
    found = _attend_op(query, key, value, name)
    return tuple(found) if return_lse else found[0]


# -- kernels that cannot be traced: an operator of the graph, which runs them when the graph runs --------------------

_chosen: dict[str, Kernel] = {}


def _run(query: Any, key: Any, value: Any, name: str) -> list[torch.Tensor]:
    problem = Problem.remembered(name.partition(" ")[0])
    with torch._C._SetExcludeDispatchKeyGuard(torch._C.DispatchKey.AutogradFunctionality, False):  # operators lack it
        found = _chosen[name].attend(query, key, value, problem.mask, problem)
    return list(found) if problem.return_lse else [found]


@torch.library.custom_op("maskkit::attend", mutates_args=())  # type: ignore[untyped-decorator]
def _attend_op(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, name: str) -> list[torch.Tensor]:
    with torch.no_grad():
        return [x.clone() for x in _run(query, key, value, name)]


@_attend_op.register_fake  # type: ignore[untyped-decorator]
def _(query: Any, key: Any, value: Any, name: str) -> list[torch.Tensor]:
    out = query.new_empty((*query.shape[:3], value.shape[-1]))
    wide = torch.promote_types(query.dtype, torch.float32)
    lse = query.new_empty(query.shape[:3], dtype=wide)
    return [out, lse] if Problem.remembered(name.partition(" ")[0]).return_lse else [out]


@torch.library.custom_op("maskkit::attend_backward", mutates_args=())  # type: ignore[untyped-decorator]
def _backward_op(
    grads: list[torch.Tensor], query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, name: str
) -> list[torch.Tensor]:
    """The kernel runs again: its graph of autograd is not there any more."""
    with torch.enable_grad():
        q, k, v = arrays = [x.detach().requires_grad_() for x in (query, key, value)]
        outs = _run(q, k, v, name)
        return [x.contiguous() for x in torch.autograd.grad(outs, arrays, grads)]


@_backward_op.register_fake  # type: ignore[untyped-decorator]
def _(grads: Any, query: Any, key: Any, value: Any, name: str) -> list[torch.Tensor]:
    return [x.new_empty(x.shape) for x in (query, key, value)]


def _keep(ctx: Any, inputs: Any, output: Any) -> None:
    *arrays, ctx.name = inputs
    ctx.save_for_backward(*arrays)


def _differentiate(ctx: Any, grads: list[torch.Tensor]) -> Any:
    return *_backward_op(grads, *ctx.saved_tensors, ctx.name), None


_attend_op.register_autograd(_differentiate, setup_context=_keep)
