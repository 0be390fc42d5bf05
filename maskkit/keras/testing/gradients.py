"""Gradients and compiled calls, on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops


def loss_of(outputs: Any) -> Any:
    """A scalar that depends on every output: their product with fixed numbers, in float32 at least."""
    total = 0.0
    for output in keras.tree.flatten(outputs):
        numbers = np.random.default_rng(0).normal(size=tuple(output.shape)).astype("float32")
        total = total + ops.sum(ops.cast(output, "float32") * ops.convert_to_tensor(numbers))
    return total


def gradients(layer: Any, inputs: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """Of `loss_of(layer(*inputs, **options))`, by the trainable weights and by the inputs, as NumPy arrays.

    None stands for a weight that the loss does not depend on.
    """
    backend = keras.backend.backend()
    inputs = [ops.convert_to_tensor(x, dtype="float32") for x in inputs]
    found = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}[backend](layer, inputs, options)
    weights, of_inputs = (
        [None if g is None else ops.convert_to_numpy(ops.cast(g, "float32")) for g in part] for part in found
    )
    return weights, of_inputs


def _torch(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    import torch

    inputs = [x.detach().requires_grad_() for x in inputs]
    weights = [w.value for w in layer.trainable_weights]
    found = torch.autograd.grad(loss_of(layer(*inputs, **options)), [*weights, *inputs], allow_unused=True)
    return list(found[: len(weights)]), list(found[len(weights) :])


def _jax(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    import jax

    rest = [w.value for w in layer.non_trainable_variables]

    def loss(weights: Any, inputs: Any) -> Any:
        return loss_of(layer.stateless_call(weights, rest, *inputs, **options)[0])

    found = jax.grad(loss, argnums=(0, 1))([w.value for w in layer.trainable_variables], inputs)
    return list(found[0]), list(found[1])


def _tensorflow(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[list[Any], list[Any]]:
    import tensorflow as tf

    weights = [w.value for w in layer.trainable_weights]
    with tf.GradientTape() as tape:
        for x in inputs:
            tape.watch(x)
        loss = loss_of(layer(*inputs, **options))
    found = tape.gradient(loss, [*weights, *inputs])
    return found[: len(weights)], found[len(weights) :]


def compiled(layer: Any, **options: Any) -> Callable[..., Any]:
    """The layer's call, traced as a whole: by jax.jit, tf.function or torch.compile (without its code generator)."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        trainable = [w.value for w in layer.trainable_variables]
        rest = [w.value for w in layer.non_trainable_variables]
        return jax.jit(lambda *inputs: layer.stateless_call(trainable, rest, *inputs, **options)[0])  # type: ignore[no-any-return]
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda *inputs: layer(*inputs, **options))  # type: ignore[no-any-return]
    import torch

    return torch.compile(lambda *inputs: layer(*inputs, **options), backend="eager")  # type: ignore[no-any-return]
