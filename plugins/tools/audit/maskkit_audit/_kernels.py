"""The kernels of maskkit, of which `maskkit.attend` chooses one: each is given the mask, and is seen as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any

import torch
from attrs import evolve
from maskkit import BrokenPlugin, ConfigError, find, names
from maskkit_audit._calls import Bools
from maskkit_audit._intercept import WIDTH, Watch
from maskkit_audit._observe import arrived


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """While this lasts, attention is seen; what is compiled runs eager, for there is nothing to see in it."""
    with ExitStack() as stack:
        _watch_kernels(watch, stack)
        stack.enter_context(torch.compiler.set_stance("force_eager"))
        stack.enter_context(warnings.catch_warnings())
        warnings.filterwarnings("ignore", message="flex_attention called without torch.compile")  # it is our doing
        with watch:
            yield


def _replace(stack: ExitStack, holder: Any, name: str, new: Any) -> None:
    old = vars(holder)[name]
    setattr(holder, name, new)
    stack.callback(setattr, holder, name, old)


def _watch_kernels(watch: Watch, stack: ExitStack) -> None:
    """Whatever `maskkit.attend` chooses is a kernel, and a kernel is given the mask."""
    for name in names("kernel"):
        try:
            cls = find(name, "kernel")
        except (BrokenPlugin, ConfigError):
            continue
        if "attend" in vars(cls):
            _replace(stack, cls, "attend", _watched_kernel(watch, vars(cls)["attend"]))
        if "fits" in vars(cls):  # it may try things out
            _replace(stack, cls, "fits", _unseen(watch, vars(cls)["fits"]))


def _unseen(watch: Watch, fits: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fits)
    def unseen(*args: Any) -> Any:
        with watch.pause():
            return fits(*args)

    return unseen


def _watched_kernel(watch: Watch, attend: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(attend)
    def watched(self: Any, query: Any, key: Any, value: Any, mask: Any, problem: Any) -> Any:
        if not isinstance(query, torch.Tensor):
            return attend(self, query, key, value, mask, problem)
        with watch.pause():
            out = attend(self, query, key, value, mask, problem)
            allowed = _kernel_allows(lambda *given: attend(self, *given), query, mask, problem)
        watch.record("maskkit.attend", allowed, query.shape[0], query.shape[1], [])
        return out

    return watched


def _kernel_allows(attend: Callable[..., Any], query: Any, mask: Any, problem: Any) -> Bools:
    """The kernel again, with zeros and one-hot values, for as many samples and heads as the mask tells apart."""
    sizes = {} if mask is None else dict(zip(mask.axes, mask.shape, strict=True))
    batch, heads = sizes.get("batch", 1), sizes.get("head", 1)
    more = dict(dropout_p=0.0, return_lse=False, scale=None, training=False, head_dim=WIDTH, value_dim=WIDTH)
    asked = evolve(problem, batch=batch, heads=heads, kv_heads=heads, **more)
    zeros = [query.new_zeros(batch, heads, size, WIDTH) for size in (problem.queries, problem.keys)]

    def call(value: Any) -> Any:
        values = torch.as_tensor(value, dtype=query.dtype, device=query.device).expand(batch, heads, -1, -1)
        return attend(*zeros, values.contiguous(), mask, asked).float().cpu().numpy()

    return arrived(call, (batch, heads, problem.queries, problem.keys), WIDTH)
