"""Gradients and compiled calls, on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

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


class Differentiated(NamedTuple):
    """What a layer gives, and the gradients of `loss_of` that. All are NumPy arrays, half precision as float32.

    Attributes:
        outputs: of the layer.
        of_weights: one for each trainable weight; None where the loss does not depend on it.
        of_inputs: one for each input, likewise.
    """

    outputs: list[Any]
    of_weights: list[Any]
    of_inputs: list[Any]


def differentiate(layer: Any, inputs: list[Any], **options: Any) -> Differentiated:
    """Call the layer and differentiate `loss_of(layer(*inputs, **options))` by its trainable weights and its inputs."""
    run = {"torch": _torch, "jax": _jax, "tensorflow": _tensorflow}[keras.backend.backend()]
    inputs = [ops.convert_to_tensor(x, dtype="float32") for x in inputs]
    outputs, found = run(layer, inputs, options)
    found = [None if gradient is None else _numbers(gradient) for gradient in found]
    count = len(layer.trainable_weights)
    return Differentiated([_numbers(y) for y in keras.tree.flatten(outputs)], found[:count], found[count:])


def gradients(layer: Any, inputs: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """Only the gradients: by weights, and by inputs."""
    _, of_weights, of_inputs = differentiate(layer, inputs, **options)
    return of_weights, of_inputs


def _numbers(tensor: Any) -> Any:
    narrow = keras.backend.standardize_dtype(tensor.dtype) in ("float16", "bfloat16")
    return ops.convert_to_numpy(ops.cast(tensor, "float32") if narrow else tensor)


def _torch(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    import torch

    inputs = [x.detach().requires_grad_() for x in inputs]
    outputs = layer(*inputs, **options)
    sources = [*(w.value for w in layer.trainable_weights), *inputs]
    return outputs, list(torch.autograd.grad(loss_of(outputs), sources, allow_unused=True))


def _jax(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    """As one compiled function, which takes less time than its many operations one by one."""
    import jax

    rest = [w.value for w in layer.non_trainable_variables]

    def loss(weights: Any, inputs: Any) -> Any:
        outputs, _ = layer.stateless_call(weights, rest, *inputs, **options)
        return loss_of(outputs), outputs

    weights = [w.value for w in layer.trainable_variables]
    (_, outputs), found = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))(weights, inputs)
    return outputs, [*found[0], *found[1]]


def _tensorflow(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        for x in inputs:
            tape.watch(x)
        outputs = layer(*inputs, **options)
        loss = loss_of(outputs)
    return outputs, tape.gradient(loss, [*(w.value for w in layer.trainable_weights), *inputs])


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
