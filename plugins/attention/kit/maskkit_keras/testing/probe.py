"""A layer under test: inputs of the shapes that its config declares, masks for them, calls that give NumPy arrays."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import maskkit
from maskkit import Attention
from maskkit_keras.testing.calls import arrays, as_numpy, call

Array = npt.NDArray[Any]

_FREE = {"B": 3, "T": 6, "S": 6, "N": 6, "H": 4, "W": 6, "C": 12, "D": 12}
"""Sizes of the letters in `shapes`; others get 5."""


class Probe:
    """One sample of a config, called with one of the ways that its `shapes` allow."""

    def __init__(self, cls: type[Attention], sample: Mapping[str, Any], way: int = 0) -> None:
        self.config: Any = maskkit.build(cls, sample)
        self.ins, self.outs = ways(self.config)[way]
        self.name = f"{cls.name} {dict(sample)}"
        self._layers: dict[Any, Any] = {}

    @property
    def masks(self) -> tuple[str, ...]:
        """The masks that it obeys."""
        return tuple(self.config.masks)

    @property
    def cross(self) -> bool:
        """Whether keys come from another input than queries."""
        return len(self.ins) > 1

    @property
    def on_map(self) -> bool:
        """Whether the keys are pixels."""
        return len(self.ins[-1]) == 4

    # -- layers ---------------------------------------------------------------------------------------------------

    def layer(self, biases: bool = True, **options: Any) -> Any:
        """The one layer of these options, built and stirred, for reading: its weights stay. `biases`: or they are 0."""
        key = (biases, *options.items())
        if key not in self._layers:
            self._layers[key] = stir(self.new_layer(**options), biases)
        return self._layers[key]

    def new_layer(self, **options: Any) -> Any:
        """A built layer as it starts."""
        return self.built(self.config.layer(**options))

    def built(self, layer: Any) -> Any:
        """The layer, after a call without numbers."""
        layer(*[keras.KerasTensor(x.shape) for x in self.inputs()], **self.defaults(layer))
        return layer

    def defaults(self, layer: Any) -> dict[str, Any]:
        """Inference, said aloud where it matters."""
        return {"training": False} if self.takes(layer, "training") else {}

    def takes(self, layer: Any, argument: str) -> bool:
        """Whether the layer's call has this argument."""
        return argument in inspect.signature(layer.call).parameters

    # -- inputs ---------------------------------------------------------------------------------------------------

    def size(self, axis: str, sizes: Mapping[str, int] | None = None) -> int:
        """The size of an axis: a number, a parameter, or a letter's size."""
        if axis.isdigit():
            return int(axis)
        if axis in maskkit.parameters(type(self.config)):
            value: Any = getattr(self.config, axis)
            assert isinstance(value, int), f"{self.name}: shapes speak of {axis}, which is {value!r}"
            return int(value)
        return int({**_FREE, **(sizes or {}), **self.config.sizes}.get(axis, 5))

    def free(self, axis: str) -> bool:
        """Whether any size will do."""
        pinned = axis.isdigit() or axis in maskkit.parameters(type(self.config)) or axis in self.config.sizes
        return not pinned

    def inputs(self, seed: int = 0, **sizes: int) -> list[Array]:
        """Random inputs; `sizes` of letters."""
        random = np.random.default_rng(seed)
        return [random.normal(size=[self.size(a, sizes) for a in axes]).astype("float32") for axes in self.ins]

    def tokens(self, inputs: list[Array], which: int = -1) -> int:
        """The number of keys (`which` = -1) or queries (0)."""
        return math.prod(inputs[which].shape[1:-1])

    def call(self, layer: Any, inputs: list[Any], carried: list[Any] | None = None, **options: Any) -> list[Array]:
        """The outputs, as float32 or float64 arrays of NumPy."""
        return arrays(call(layer, inputs, carried, **{**self.defaults(layer), **options}))

    # -- masks ----------------------------------------------------------------------------------------------------

    def key_mask(self, keep: Array, inputs: list[Array]) -> dict[str, Any]:
        """The call's argument for booleans (B, keys)."""
        layer_call = inspect.signature(self.config.find_layer_class().call).parameters
        shaped = keep.reshape(inputs[-1].shape[:-1])
        return {"attention_mask" if "attention_mask" in layer_call else "mask": shaped}

    def some_keys(self, inputs: list[Array]) -> Array:
        """Booleans (B, keys): about half of them allowed, the first blocked and the last allowed."""
        keep = np.random.default_rng(5).random((len(inputs[-1]), self.tokens(inputs))) < 0.5
        keep[:, 0], keep[:, -1] = False, True
        return keep


def ways(config: Any) -> list[tuple[list[list[str]], list[list[str]]]]:
    """The declared shapes, read: for every way to call the layer the axes of its inputs and of its outputs."""
    assert config.shapes, f"{type(config).__name__} needs shapes, such as '(B, T, dim) -> (B, T, dim)'"
    found = []
    for way in config.shapes.split(";"):
        ins, arrow, outs = way.partition("->")
        assert arrow, f"{type(config).__name__}: shapes {way!r} must read 'inputs -> outputs'"
        found.append((_groups(ins), _groups(outs)))
    return found


def _groups(text: str) -> list[list[str]]:
    return [[axis.strip() for axis in group.split(",")] for group in re.findall(r"\(([^)]*)\)", text)]


def stir(layer: Any, biases: bool = True) -> Any:
    """Give all floating weights fixed numbers, the same on every backend: no gain is 0, no two kernels are alike."""
    for i, weight in enumerate(layer.weights):
        if "float" in str(weight.dtype) and (biases or "bias" not in weight.path):
            start = as_numpy(weight.value)
            noise = np.random.default_rng(i).normal(size=start.shape)
            if start.size == 1 or start.std() > 0:
                weight.assign(0.4 * noise)  # random until now
            else:
                weight.assign(start + 0.3 * (np.abs(noise) if "variance" in weight.path else noise))
    return layer
