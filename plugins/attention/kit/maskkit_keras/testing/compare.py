"""What checks of a layer share: inputs that are changed in places, rows of outputs, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from maskkit_keras.testing.calls import Differentiated
from maskkit_keras.testing.probe import Probe

Array = npt.NDArray[Any]


def with_noise(inputs: list[Array], where: Array) -> list[Array]:
    """The inputs, with other content at some of the keys (booleans (batch or 1, keys))."""
    *others, keys = inputs
    where = np.broadcast_to(where, (len(keys), where.shape[-1])).reshape(keys.shape[:-1])
    noise = 3 * np.random.default_rng(9).normal(size=keys.shape).astype(keys.dtype)
    return [*others, np.where(where[..., None], keys + noise, keys)]


def rows_of(outputs: list[Array], rows: Array | None, inputs: list[Array]) -> list[Array]:
    """The outputs at some of the queries (booleans (batch, queries)), where outputs stand in the place of queries."""
    if rows is None:
        return outputs
    place = inputs[0].shape[:-1]
    return [y[rows.reshape(place)] if y.shape[: len(place)] == place else y for y in outputs]


def check_finite(found: Differentiated, probe: Probe, where: str, layer: Any = None) -> None:
    """Of `layer`, whose weights are named; without gradients there need be none."""
    weights = [] if layer is None else [f"the gradient of {w.path.rpartition('/')[2]}" for w in layer.trainable_weights]
    named = ["an output"] * len(found.outputs), weights, ["the gradient of an input"] * len(found.of_inputs)
    for names, arrays in zip(named, found, strict=True):
        for name, array in zip(names, arrays, strict=True):
            assert array is None or np.isfinite(array).all(), f"{probe.name}: {name} is not finite {where}"


def check_close(actual: list[Array], expected: list[Array], probe: Probe, otherwise: str, atol: float = 2e-5) -> None:
    for a, e in zip(actual, expected, strict=True):
        assert a.shape == e.shape, f"{probe.name}: {otherwise}: shape {a.shape}, not {e.shape}"
        gap = np.abs(a - e).max(initial=0)
        assert gap <= atol * max(1.0, np.abs(e).max(initial=0)), f"{probe.name}: {otherwise}, by {gap:.3g}"
