"""`audit` and `assert_attends`: a model is run once, and every attention in it is looked at."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from maskkit import ConfigError
from maskkit_audit._calls import Call
from maskkit_audit._facts import Facts
from maskkit_audit._leaks import leaks_of
from maskkit_audit._recognize import Recognition, recognize
from maskkit_audit._report import Entry, Report

BLOCKED_BELOW = -5e3
"""Scores from here down are blocked: -inf, the lowest number of a dtype, -1e9 and -1e4 added are; biases such as
ALiBi's, and the -100 of some shifted windows, are not."""


def audit(
    model: Any,
    inputs: Any,
    expect: Any = None,
    *,
    valid: Any = None,
    documents: Any = None,
    blocked_below: float = BLOCKED_BELOW,
    reach: bool = True,
) -> Report:
    """What every attention of a model really allows, and where that departs from what was asked for or is known.

    The model runs once on the inputs as it is, in evaluation mode and without gradients. Every attention that it
    runs is looked at from below, whatever it is written with: `scaled_dot_product_attention`, FlexAttention,
    `nn.MultiheadAttention` and its fast path, softmax and product (the eager attention of transformers and timm),
    Keras layers on Torch, `maskkit.attend`. Fused ones are asked again with queries and keys of zeros and one-hot
    values; of a softmax the scores are read. What `torch.compile` has compiled runs eager for the time.

    Args:
        model: a `torch.nn.Module`, transformers and timm models and Keras layers on Torch among them. JAX, NumPy and
            bare functions go through `observed`.
        inputs: what it is called with: a tensor, a tuple, or a mapping of keyword arguments.
        expect: the mask that is wanted: an expression ("causal"), a mapping, a mask, or a mapping of patterns of module
            names to these: `{"*.self_attn": "causal"}`. None compares only with what is known: padding and documents,
            and the future of modules that say they are causal.
        valid: (batch, tokens), 1 where real; None takes the input `attention_mask`, `key_padding_mask` or the like.
        documents: (batch, tokens), the document of each token; None takes the input `document_ids` or the like, or
            `position_ids` that start again.
        blocked_below: scores, and what is added to them, count as blocked from here down.
        reach: whether to ask by gradients, too, which input moves which output, and to compare.

    Raises:
        ConfigError: the model is none of Torch's, or is elsewhere than the inputs; it does not run on them; no
            attention ran, or only in code that was compiled elsewhere; or `expect` is for other lengths.
    """
    calls = calls_of(model, inputs, blocked_below)
    facts = Facts.of(inputs, expect, valid, documents)
    known: dict[tuple[Any, ...], Recognition] = {}
    entries = [_entry(call, facts, known) for call in calls]
    notes: list[str] = []
    if any(map(_is_compiled, model.modules())):
        notes.append("what is compiled in it ran eager here; the compiled code itself was not looked at")
    if reach:
        from maskkit_audit._reach import compared

        notes += compared(model, inputs, calls)
    return Report(type(getattr(model, "_orig_mod", model)).__name__, entries, tuple(notes))


def assert_attends(model: Any, inputs: Any, expect: Any = None, **options: Any) -> Report:
    """`audit`, as a test.

    Raises:
        AssertionError: there is a leak; the message is the report.
    """
    report = audit(model, inputs, expect, **options)
    if report.leaks:
        raise AssertionError(f"{report.title} attends otherwise than it should\n{report.text(100)}")
    return report


def calls_of(model: Any, inputs: Any, blocked_below: float = BLOCKED_BELOW) -> list[Call]:
    """What every attention did when the model ran, in order; arguments and errors as `audit`."""
    import torch
    from maskkit_audit._intercept import Watch
    from maskkit_audit._kernels import watching

    _check(torch, model, inputs)
    watch = Watch(_names(model), blocked_below)
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        with torch.no_grad(), watching(watch):
            _call(model, inputs)
    finally:
        for module in training:
            module.training = True
    if not watch.calls:
        raise ConfigError(
            f"no attention ran in {type(model).__name__}: neither a fused one nor a softmax whose result is multiplied "
            "with values. Of what was exported or compiled elsewhere audit the eager model; of a function use observed"
        )
    return watch.calls


def _entry(call: Call, facts: Facts, known: dict[tuple[Any, ...], Recognition]) -> Entry:
    content = (call.allowed.shape, call.allowed.tobytes())
    if content not in known:
        known[content] = recognize(call.mask)
    return Entry(
        name=call.name,
        via=call.via,
        mask=call.mask,
        batch=call.batch,
        heads=call.heads,
        recognized=known[content],
        leaks=leaks_of(call, facts),
        notes=call.notes,
        call=call,
    )


def _names(model: Any) -> dict[int, str]:
    """The modules of a model by `id`; layers of Keras by their path."""
    names = {id(module): name or type(model).__name__ for name, module in model.named_modules()}
    if hasattr(model, "_flatten_layers"):
        names |= {id(layer): getattr(layer, "path", None) or layer.name for layer in model._flatten_layers()}
    return names


def _is_compiled(module: Any) -> bool:
    return hasattr(module, "_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None


def _call(model: Any, inputs: Any) -> Any:
    try:
        if isinstance(inputs, Mapping):
            return model(**inputs)
        return model(*inputs) if isinstance(inputs, (tuple, list)) else model(inputs)
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError, NotImplementedError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{type(model).__name__} does not run on these inputs: {type(error).__name__}: {error}"
        ) from error


def _check(torch: Any, model: Any, inputs: Any) -> None:
    """Raise what can be known to go wrong before the model runs."""
    if not isinstance(model, torch.nn.Module):
        hint = "run Keras on Torch: KERAS_BACKEND=torch" if "keras" in sys.modules else "use maskkit_audit.observed"
        raise ConfigError(f"audit takes a torch.nn.Module, got {type(model).__name__}; of functions {hint}")
    own = {tensor.device for tensor in (*model.parameters(), *model.buffers())}
    if any(device.type == "meta" for device in own):
        raise ConfigError(f"{type(model).__name__} has parameters on the device meta, and cannot run; load it first")
    given = (
        inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, (tuple, list)) else [inputs]
    )
    for tensor in given:
        if isinstance(tensor, torch.Tensor) and len(own) == 1 and tensor.device not in own:
            raise ConfigError(
                f"the model is on {next(iter(own))} and an input on {tensor.device}; move one: model.to(...)"
            )
