"""The contract of every attention layer, as checks. Each takes one sample of a config through one fact.

What a layer can be asked follows from its config: `shapes` says what to feed it, `masks` which masks it obeys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import maskkit
from maskkit import Attention
from maskkit.testing import check_class, check_light_import, check_parameters, check_round_trip, left_out
from maskkit_keras.testing import masks, numbers, shapes
from maskkit_keras.testing.masks import refusal
from maskkit_keras.testing.probe import Probe, ways

CHECKS: tuple[Callable[[Probe], None], ...] = (
    *shapes.CHECKS,
    *numbers.CHECKS,
    *masks.CHECKS,
    *numbers.EXTREMES,
)
"""Everything an attention layer promises, what tells most first: a layer that mixes samples seems to see what is
blocked, and whatever is done over a row fails where there is none."""


def check_attention(cls: type[Attention]) -> list[str]:
    """Hold an attention config and its layer to the contract: every check, for every sample and way to call it.

    Gives what was not tried, and why: the layer runs on the backend of Keras, and others are tried one run each.
    """
    check_config(cls)
    for check in CHECKS:
        run(check, cls)
    here = keras.backend.backend()
    return [left_out(f"{name}: Keras runs on {here}") for name in ("torch", "jax", "tensorflow") if name != here]


_PASSED: set[tuple[str, Any]] = set()


def run(check: Callable[[Probe], None], cls: type[Attention]) -> None:
    """One check, for every sample and way to call it. What has passed once in a process does not run again.

    Where every call is compiled anew (JAX, TensorFlow) the first sample stands for all; the others take minutes.
    """
    if (check.__name__, cls) in _PASSED:
        return
    for probe in _probes(cls):
        run_one(check, probe)
    _PASSED.add((check.__name__, cls))


def run_one(check: Callable[[Probe], None], probe: Probe) -> None:
    """One check of one sample; what a layer raises on the way is a broken promise too, and says whose."""
    try:
        check(probe)
    except AssertionError:
        raise
    except Exception as error:
        what = check.__name__.replace("_", " ")
        raise AssertionError(f"{probe.name}: {what}: {type(error).__name__}: {error}") from error


_PROBES: dict[Any, list[Probe]] = {}


def _probes(cls: type[Attention]) -> list[Probe]:
    """Shared by all checks, so that layers are built, and on JAX compiled, once."""
    if cls not in _PROBES:
        samples = cls.samples if keras.backend.backend() == "torch" else cls.samples[:1]
        _PROBES[cls] = [Probe(cls, s, way) for s in samples for way in range(len(ways(Probe(cls, s).config)))]
    return _PROBES[cls]


def check_spellings(cls: type[Attention]) -> None:
    """A parameter by another of its spellings gives the same config, which keeps its own name; both are refused."""
    for spelling, name in cls.aliases.items():
        for sample in cls.samples:
            if name not in sample:
                continue
            others = {key: value for key, value in sample.items() if key != name}
            found = maskkit.build(cls, {**others, spelling: sample[name]})
            assert maskkit.to_dict(found) == maskkit.to_dict(maskkit.build(cls, sample)), f"{spelling} is not {name}"
            with refusal(f"{name!r} and {spelling!r} are the same parameter"):
                maskkit.build(cls, {name: sample[name], spelling: sample[name], **others})


def check_config(cls: type[Attention]) -> None:
    """The light half: samples, round trip, documented parameters, refused mistakes, an import without Keras."""
    check_class(cls, "attention")
    for sample in cls.samples:
        check_round_trip(maskkit.build(cls, sample))
    check_spellings(cls)
    check_parameters(cls)
    check_light_import(cls.__module__)
