"""Which input moves which output, by gradients: what a whole model lets through, whoever computes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from maskkit import ConfigError
from maskkit_audit._calls import Call

ROWS = 8
"""Output positions that are asked."""


def reach(model: Any, inputs: Any, rows: Sequence[int] | None = None) -> tuple[npt.NDArray[np.bool_], list[int]]:
    """Which input tokens move an output token of their sample.

    Of integers the first embedding that they enter is taken for the input; of floats the first tensor (batch, tokens,
    width) is.

    Args:
        model: a `torch.nn.Module`, in evaluation mode for the time.
        inputs: as for `audit`.
        rows: output positions that are asked, each at the cost of a backward pass; None is a few, from first to last.

    Returns:
        Booleans (batch, rows, tokens), True where a gradient is not 0, and the rows.

    Raises:
        ConfigError: the model has no such input or output, or no gradients.
    """
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        eager = torch.compiler.set_stance("force_eager")  # nobody waits for a backward pass to be compiled
        with torch.enable_grad(), eager, _entry_of(model, inputs) as (entered, given):
            out = _output(model(**given) if isinstance(given, Mapping) else model(*given), entered)
            return _moved(out, entered[0], rows)
    except (RuntimeError, NotImplementedError, TypeError, ValueError, IndexError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"{type(model).__name__} gives no gradients here: {error}") from error
    finally:
        for module in training:
            module.training = True


def _moved(out: Any, source: Any, rows: Sequence[int] | None) -> tuple[npt.NDArray[np.bool_], list[int]]:
    tokens = out.shape[1]
    asked = sorted(set(np.linspace(0, tokens - 1, ROWS).astype(int).tolist())) if rows is None else list(rows)
    weights = torch.linspace(0.5, 1.5, out.shape[-1], dtype=out.dtype, device=out.device)  # no sum that cancels
    found = []
    for row in asked:
        (gradient,) = torch.autograd.grad((out[:, row] * weights).sum(), source, retain_graph=True, allow_unused=True)
        nothing = gradient is None
        found.append(np.zeros(source.shape[:2], np.bool_) if nothing else (gradient != 0).any(-1).cpu().numpy())
    return np.stack(found, axis=1), asked


@contextmanager
def _entry_of(model: Any, inputs: Any) -> Iterator[tuple[list[Any], Any]]:
    """The tensor that gradients are asked for, once the model has run, and the inputs to run it with."""
    named = isinstance(inputs, Mapping)
    keys = list(inputs) if named else list(range(len(inputs))) if isinstance(inputs, (tuple, list)) else [0]
    given = dict(inputs) if named else list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    entered: list[Any] = []
    for key in keys:
        value = given[key]
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.ndim == 3:
            given[key] = value.detach().clone().requires_grad_(True)
            entered.append(given[key])
            yield entered, given
            return

    def enter(_module: Any, _args: Any, out: Any) -> Any:
        if entered or out.ndim != 3:
            return out
        entered.append(out.detach().requires_grad_(True))
        return entered[0]

    hooks = [m.register_forward_hook(enter) for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    try:
        yield entered, given
    finally:
        for hook in hooks:
            hook.remove()


def _output(out: Any, entered: list[Any]) -> Any:
    """The first tensor (batch, tokens, width) of what the model gives, of as many samples and tokens as went in."""
    if not entered:
        raise ConfigError("no embedding and no input (batch, tokens, width) was found to ask gradients for")
    values = out.values() if isinstance(out, Mapping) else out if isinstance(out, (tuple, list)) else [out]
    for value in values:
        if isinstance(value, torch.Tensor) and value.ndim == 3 and value.shape[:2] == entered[0].shape[:2]:
            return value
    raise ConfigError("no output (batch, tokens, width) was found to ask gradients of")


def compared(model: Any, inputs: Any, calls: list[Call]) -> tuple[str, ...]:
    """What gradients say beside what the attentions allow: nothing where they agree."""
    try:
        moved, rows = reach(model, inputs)
    except ConfigError as error:
        return (f"not checked by gradients: {str(error).splitlines()[0][:120]}",)
    batch, _, tokens = moved.shape
    possible = np.broadcast_to(np.eye(tokens, dtype=np.bool_), (batch, tokens, tokens))
    for call in calls:
        allowed = call.allowed.any(axis=1)
        if allowed.shape[1:] != (tokens, tokens) or allowed.shape[0] not in (1, batch):
            return ("not checked by gradients: not all attentions are of the model's own tokens",)
        # An empty row averages all keys in some models, and gives zeros in others.
        step = allowed | ~allowed.any(axis=-1, keepdims=True) | np.eye(tokens, dtype=np.bool_)
        possible = step.astype(np.float32) @ possible.astype(np.float32) > 0
    beyond = np.argwhere(moved & ~possible[:, rows])
    if len(beyond):
        sample, row, token = beyond[0]
        return (
            f"gradients say more: input {token} moves output {rows[row]} in sample {sample}, and no attention that was "
            "seen allows it; something else mixes tokens",
        )
    return (f"checked by gradients at {len(rows)} outputs: no input moves one that attention keeps from it",)
