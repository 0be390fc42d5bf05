"""`attend` under `torch.compile`: one graph, and the same one for equal masks."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import torch
from torch.utils._python_dispatch import _disable_current_modes
from maskkit.kernels.attend import autocast, has_kernels, plan_of
from maskkit.kernels.problem import problem_of
from maskkit.registry.item import Item, as_constants
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
    name = uuid4().hex
    _asked[name] = constants
    return name


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
    return chosen.attend(query, key, value, mask, problem)
