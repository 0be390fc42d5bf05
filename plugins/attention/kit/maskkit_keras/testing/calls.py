"""A layer's values and gradients as NumPy arrays, on whichever backend Keras runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
from keras import ops
from maskkit.arrays import fetched, is_array

Array = npt.NDArray[Any]


def call(layer: Any, inputs: Sequence[Any], carried: Sequence[Any] | None = None, **options: Any) -> Any:
    """`layer(*inputs, **options)`.

    On JAX as one compiled function, which takes less time than its many operations one by one; it is compiled once for
    a layer, the shapes of the arrays and the other options.

    Args:
        layer: a layer or a model.
        inputs: its tensors, or lists of them, as arrays.
        carried: for every input the mask that Keras carries along with it, or None.
        options: of the call.
    """
    inputs = keras.tree.map_structure(ops.convert_to_tensor, list(inputs))
    carried = [None if mask is None else ops.convert_to_tensor(mask) for mask in carried or [None] * len(inputs)]
    if keras.backend.backend() != "jax":
        return layer(*_carrying(inputs, carried), **options)
    masks, rest = _parted(options)
    return _jax_call(layer, *rest)(_state(layer), inputs, carried, masks)


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
    return Differentiated(arrays(outputs), found[:count], found[count:])


def gradients(layer: Any, inputs: list[Any], **options: Any) -> tuple[list[Any], list[Any]]:
    """Only the gradients: by weights, and by inputs."""
    _, of_weights, of_inputs = differentiate(layer, inputs, **options)
    return of_weights, of_inputs


def loss_of(outputs: Any) -> Any:
    """A scalar that depends on every output: their product with fixed numbers, in float32 at least."""
    total = 0.0
    for output in keras.tree.flatten(outputs):
        numbers = np.random.default_rng(0).normal(size=tuple(output.shape)).astype("float32")
        total = total + ops.sum(ops.cast(output, "float32") * ops.convert_to_tensor(numbers))
    return total


def compiled(layer: Any, **options: Any) -> Callable[..., Any]:
    """The layer's call, traced as a whole: by jax.jit, tf.function or torch.compile (without its code generator)."""
    backend = keras.backend.backend()
    if backend == "jax":
        masks, rest = _parted(options)
        run = _jax_call(layer, *rest)
        return lambda *inputs: run(_state(layer), list(inputs), [None] * len(inputs), masks)
    if backend == "tensorflow":
        import tensorflow as tf

        return tf.function(lambda *inputs: layer(*inputs, **options))  # type: ignore[no-any-return]
    import torch

    return torch.compile(lambda *inputs: layer(*inputs, **options), backend="eager")  # type: ignore[no-any-return]


def arrays(outputs: Any) -> list[Array]:
    """All tensors in a layer's output as NumPy arrays, half precision as float32."""
    return [_numbers(output) for output in keras.tree.flatten(outputs)]


def as_numpy(tensor: Any) -> Array:
    """A copy. `ops.convert_to_numpy` gives the same; on Torch NumPy then warns of what Keras does."""
    return np.array(fetched(tensor))


def _numbers(tensor: Any) -> Array:
    narrow = keras.backend.standardize_dtype(tensor.dtype) == "bfloat16"
    numbers = as_numpy(ops.cast(tensor, "float32") if narrow else tensor)
    return numbers.astype("float32") if numbers.dtype == "float16" else numbers


class _Carrier(keras.layers.Layer):  # type: ignore[misc]
    """Gives its input, which then carries the mask along, wherever Keras keeps it."""

    def __init__(self) -> None:
        super().__init__(dtype="float64")  # which casts nothing
        self.autocast = False
        self.supports_masking = True

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return ops.copy(inputs)


def _carrying(inputs: Sequence[Any], masks: Sequence[Any]) -> list[Any]:
    return [x if mask is None else _Carrier()(x, mask=mask) for x, mask in zip(inputs, masks, strict=True)]


# -- gradients ----------------------------------------------------------------------------------------------------


def _torch(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    import torch

    inputs = [x.detach().requires_grad_() for x in inputs]
    outputs = layer(*inputs, **options)
    sources = [*(w.value for w in layer.trainable_weights), *inputs]
    return outputs, list(torch.autograd.grad(loss_of(outputs), sources, allow_unused=True))


def _tensorflow(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    import tensorflow as tf

    with tf.GradientTape() as tape:
        for x in inputs:
            tape.watch(x)
        outputs = layer(*inputs, **options)
        loss = loss_of(outputs)
    found = tape.gradient(loss, [*(w.value for w in layer.trainable_weights), *inputs])
    return outputs, [None if one is None else tf.convert_to_tensor(one) for one in found]  # of a table: its rows alone


def _jax(layer: Any, inputs: list[Any], options: dict[str, Any]) -> tuple[Any, list[Any]]:
    masks, rest = _parted(options)
    outputs, found = _jax_gradients(layer, *rest)(_state(layer), inputs, masks)
    return outputs, [*found[0], *found[1]]


# -- JAX ----------------------------------------------------------------------------------------------------------


def _state(layer: Any) -> list[Any]:
    return [variable.value for variable in layer.variables]


def _parted(options: dict[str, Any]) -> tuple[dict[str, Any], tuple[tuple[str, Any], ...]]:
    """The arrays, which a compiled function takes, and the rest, which it is compiled for."""
    found = {name: ops.convert_to_tensor(value) for name, value in options.items() if is_array(value)}
    return found, tuple((name, value) for name, value in options.items() if name not in found)


@lru_cache(maxsize=256)
def _jax_call(layer: Any, *options: tuple[str, Any]) -> Callable[..., Any]:
    import jax

    def run(state: Any, inputs: Any, carried: Any, masks: Any) -> Any:
        # Not `stateless_call`, which passes by all that Keras does around a layer's call: casts, masks.
        with keras.StatelessScope(state_mapping=list(zip(layer.variables, state, strict=True))):
            return layer(*_carrying(inputs, carried), **dict(options), **masks)

    return jax.jit(run)  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _jax_gradients(layer: Any, *options: tuple[str, Any]) -> Callable[..., Any]:
    import jax

    def loss(weights: Any, inputs: Any, state: Any, masks: Any) -> Any:
        mapping = [*zip(layer.variables, state, strict=True), *zip(layer.trainable_weights, weights, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            outputs = layer(*inputs, **dict(options), **masks)
        return loss_of(outputs), outputs

    def run(state: Any, inputs: Any, masks: Any) -> Any:
        places = {id(variable): i for i, variable in enumerate(layer.variables)}
        weights = [state[places[id(weight)]] for weight in layer.trainable_weights]
        (_, outputs), found = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(weights, inputs, state, masks)
        return outputs, found

    return jax.jit(run)  # type: ignore[no-any-return]
