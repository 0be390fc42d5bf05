"""Checks of numbers: kernels at the start, gradients, samples apart, compiled calls, half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops
from maskkit_keras.testing.calls import arrays, as_numpy, call, compiled, differentiate, gradients
from maskkit_keras.testing.compare import Array, check_close
from maskkit_keras.testing.probe import Probe


def kernels_start_apart(probe: Probe) -> None:
    """No two columns of any kernels of equal height start equal, with and without a seed."""
    layers = [probe.new_layer()]
    if hasattr(probe.config, "kernel_initializer"):
        seeded = {"class_name": "GlorotUniform", "config": {"seed": 3}}
        layers.append(probe.built(type(layers[0])(**{**_params(probe.config), "kernel_initializer": seeded})))
    for layer in layers:
        columns: dict[int, list[Array]] = {}
        for weight in layer.trainable_weights:
            values = as_numpy(weight.value)
            if values.ndim > 1 and values.std() > 0:
                columns.setdefault(len(values), []).extend(values.reshape(len(values), -1).T)
        for some in columns.values():
            if len(some[0]) > 1:
                assert len(np.unique(some, axis=0)) == len(some), f"{probe.name}: kernels start equal"


def _params(config: Any) -> dict[str, Any]:
    return {a.name: getattr(config, a.name) for a in type(config).__attrs_attrs__}


def samples_are_apart(probe: Probe) -> None:
    """A sample's output does not depend on the others of its batch."""
    layer, inputs = probe.layer(), probe.inputs()
    together = probe.call(layer, inputs)
    alone = probe.call(layer, [x[1:2] for x in inputs])
    check_close(alone, [y[1:2] for y in together], probe, "the batch is mixed")


def a_batch_may_be_empty(probe: Probe) -> None:
    """A batch of no samples, with and without a mask, gives outputs of no samples, and gradients that are 0.

    Not on TensorFlow, where Keras itself takes no maximum of nothing.
    """
    if keras.backend.backend() == "tensorflow":
        return
    inputs = probe.inputs(B=0)
    layer = probe.layer()
    masks = [{}, probe.key_mask(np.ones((0, probe.tokens(inputs)), bool), inputs)][: 1 + ("keys" in probe.masks)]
    for options in masks:
        found = differentiate(layer, inputs, **options, **probe.defaults(layer))
        assert all(len(y) == 0 for y in found.outputs), f"{probe.name}: {[y.shape for y in found.outputs]} of nothing"
        assert not any(np.any(gradient) for gradient in found.of_weights if gradient is not None), (
            f"{probe.name}: no sample, and yet a gradient"
        )


def gradients_reach_every_weight(probe: Probe) -> None:
    """Every trainable weight has a gradient, and it is not 0 (but for biases of keys, which no softmax notices)."""
    layer, inputs = probe.layer(), probe.inputs()
    found, of_inputs = gradients(layer, inputs, **probe.defaults(layer))
    for weight, gradient in zip(layer.trainable_weights, found, strict=True):
        assert gradient is not None, f"{probe.name}: no gradient reaches {weight.path}"
        assert np.isfinite(gradient).all(), f"{probe.name}: the gradient of {weight.path} is not finite"
        unnoticed = "key" in weight.path and "bias" in weight.path
        assert gradient.any() or unnoticed, f"{probe.name}: the gradient of {weight.path} is 0"
    for gradient in of_inputs:
        assert gradient is not None, f"{probe.name}: no gradient reaches an input"
        assert gradient.any(), f"{probe.name}: the gradient of an input is 0"


def compiled_is_eager(probe: Probe) -> None:
    """Traced as a whole, the layer gives what it gives call by call."""
    layer, inputs = probe.layer(), probe.inputs()
    options = probe.defaults(layer)
    if "keys" in probe.masks:
        options |= {
            name: ops.convert_to_tensor(m) for name, m in probe.key_mask(probe.some_keys(inputs), inputs).items()
        }
    if "causal" in probe.masks and not probe.cross:
        options["use_causal_mask"] = True
    traced = compiled(layer, **options)(*[ops.convert_to_tensor(x) for x in inputs])
    eager = layer(*[ops.convert_to_tensor(x) for x in inputs], **options)
    check_close(arrays(traced), arrays(eager), probe, "compiled differs from eager")


def precisions_agree(probe: Probe) -> None:
    """In half precision the outputs are of that dtype, and as near to those of float32 as rounding explains.

    What rounding explains differs from layer to layer, for some amplify it. It is measured: how far the float32 outputs
    move, for the same rounded weights and inputs, once each of these is moved by a unit in its last place.
    """
    inputs = probe.inputs()
    full, weights = probe.new_layer(), [as_numpy(weight.value) for weight in probe.layer().weights]

    def outputs(draw: int | None) -> list[Array]:
        for weight, value in zip(full.weights, weights, strict=True):
            weight.assign(_rounded(value, dtype, draw))
        return probe.call(full, [_rounded(x, dtype, draw) for x in inputs])

    for dtype in ("float16", "bfloat16"):
        layer = probe.layer(dtype=f"mixed_{dtype}")
        raw = call(layer, inputs, **probe.defaults(layer))
        for output in keras.tree.flatten(raw):
            given = keras.backend.standardize_dtype(output.dtype)
            assert given == dtype, f"{probe.name}: the output is {given} in mixed_{dtype}"
        exact, moved = outputs(None), [outputs(draw) for draw in range(3)]
        for i, (half, whole) in enumerate(zip(arrays(raw), exact, strict=True)):
            explained = 2 * max(np.abs(some[i] - whole).max() for some in moved)
            gap = np.abs(half - whole).max()
            assert gap <= explained, f"{probe.name}: mixed_{dtype} is {gap:.2g} away from float32, not {explained:.2g}"


def large_activations_are_finite(probe: Probe) -> None:
    """In half precision, outputs of inputs a thousand times as large are finite where those of float32 fit into it.

    So are the gradients, if all of them fit: on their way they are of that precision too.
    """
    inputs, options = [1000 * x for x in probe.inputs()], {}
    if "keys" in probe.masks:
        options = probe.key_mask(probe.some_keys(inputs), inputs)
    layers = probe.layer(), probe.layer(dtype="mixed_float16"), probe.layer(dtype="mixed_bfloat16")
    exact, *halves = (differentiate(layer, inputs, **options, **probe.defaults(layer)) for layer in layers)
    for half, largest in zip(halves, (2.0**15, 1e37), strict=True):
        for found, expected in zip(half.outputs, exact.outputs, strict=True):
            assert np.isfinite(found[np.abs(expected) < largest]).all(), f"{probe.name}: large inputs overflow"
        pairs = list(zip(half.of_weights + half.of_inputs, exact.of_weights + exact.of_inputs, strict=True))
        if all(expected is None or (np.abs(expected) < largest).all() for _, expected in pairs):
            finite = all(found is None or np.isfinite(found).all() for found, _ in pairs)
            assert finite, f"{probe.name}: gradients of large inputs overflow"


def _rounded(values: Array, dtype: str, draw: int | None) -> Array:
    """In half precision, but as float32; with a `draw` of signs, moved by a unit in the last place."""
    if values.dtype.kind != "f":
        return values
    rounded = as_numpy(ops.cast(ops.cast(ops.convert_to_tensor(values), dtype), "float32"))
    if draw is None:
        return rounded
    sign = np.random.default_rng(draw).choice((-1, 1), size=values.shape)
    moved: Array = rounded * (1 + sign * {"float16": 2.0**-10, "bfloat16": 2.0**-7}[dtype])
    return moved.astype("float32")


CHECKS: tuple[Callable[[Probe], None], ...] = (
    kernels_start_apart,
    samples_are_apart,
    gradients_reach_every_weight,
    compiled_is_eager,
    precisions_agree,
)
EXTREMES = large_activations_are_finite, a_batch_may_be_empty
