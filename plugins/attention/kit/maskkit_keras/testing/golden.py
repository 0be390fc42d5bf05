"""Golden vectors: what independent implementations returned, for tests that put their weights into our layers.

    @golden("multi_head")
    def test_golden_multi_head(case):
        layer = case.build(MultiHeadAttention, case.inputs["x"].shape)
        case.transplant(layer, {"qkv_kernel": stacked_kernel(case.weights["qkv.weight"], 3, heads), ...})
        case.check("y", layer(case.inputs["x"], attention_mask=case.inputs.get("attention_mask")))

The vectors are in the folder that the environment variable `MASKKIT_GOLDEN` names, else in the project's
`tests/golden`; the README there says what is in each file.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from attrs import frozen
from maskkit_keras.testing.calls import as_numpy

Array = npt.NDArray[Any]


@frozen(kw_only=True, eq=False)
class Case:
    """One run of the oracle.

    Attributes:
        name: of the case in its file.
        settings: what the file says of it: oracle, version, parameters, tolerance.
        inputs: arrays by name; masks are boolean, True where attention is allowed.
        weights: the oracle's, under its own names and in its own layouts.
        outputs: what the oracle returned.
    """

    name: str
    settings: Mapping[str, Any]
    inputs: Mapping[str, Array]
    weights: Mapping[str, Array]
    outputs: Mapping[str, Array]

    def __str__(self) -> str:
        return self.name

    @property
    def params(self) -> dict[str, Any]:
        """Our constructor's arguments."""
        return {**self.settings["seed_params"], **self.settings.get("extra_params", {})}

    @property
    def dtype(self) -> str:
        """That of the oracle: float64, but for those that exist in float32 only."""
        return "float32" if self.inputs_dtype() == np.float32 else "float64"

    def inputs_dtype(self) -> Any:
        """The widest floating dtype of the inputs."""
        return np.result_type(*(array.dtype for array in self.inputs.values() if array.dtype.kind == "f"))

    def build(self, layer_class: Any, *shapes: tuple[int, ...], **changes: Any) -> Any:
        """The layer in float64, built for inputs of these shapes.

        Args:
            layer_class: takes the case's parameters.
            shapes: of the inputs, as `build` takes them.
            changes: parameters that replace the case's.
        """
        layer = layer_class(**{**self.params, **changes}, dtype="float64")
        layer.build(*shapes)
        return layer

    def transplant(self, layer: Any, weights: Mapping[str, Array]) -> None:
        """Set all weights of a built layer: by name, those of sub-layers as `"sub_layer/name"`.

        Raises:
            AssertionError: a weight is left out, unknown, or of another shape.
        """
        own = {weight.path.partition("/")[2]: weight for weight in layer.weights if "seed_generator" not in weight.path}
        assert set(own) == set(weights), f"the layer has {sorted(own)}, but was given {sorted(weights)}"
        for name, value in weights.items():
            shape = tuple(own[name].shape)
            assert shape == value.shape, f"{name} has the shape {shape}, but was given {value.shape}"
            own[name].assign(value)

    def check(self, name: str, actual: Any) -> None:
        """Compare with what the oracle returned, at the tolerance that the file states."""
        # On TensorFlow some of Keras' own operations, the exact GELU among them, pass through float32.
        least = 1e-6 if keras.backend.backend() == "tensorflow" else 0.0
        np.testing.assert_allclose(
            as_numpy(actual),
            self.outputs[name],
            rtol=0,
            atol=max(self.settings["tolerance"], least),
            strict=False,
        )
        assert tuple(actual.shape) == self.outputs[name].shape


def golden(name: str, select: Callable[[str], bool] = bool) -> Callable[[Callable[..., None]], Any]:
    """A decorator: run the test for every case of the file `attention/<name>.npz`, as the argument `case`, in float64.

    Args:
        name: of the file, which is that of the layer.
        select: of the case names, those for which it returns True.
    """
    import pytest

    cases = [case for case in load(name) if select(case.name)]
    assert cases, f"no case of {name} was selected"

    def decorate(test: Callable[..., None]) -> Any:
        @wraps(test)
        def in_float64(*args: Any, **kwargs: Any) -> None:
            with float64():
                test(*args, **kwargs)

        return pytest.mark.parametrize("case", cases, ids=str)(in_float64)

    return decorate


def folder() -> Path:
    """Where the vectors are."""
    if named := os.environ.get("MASKKIT_GOLDEN"):
        return Path(named)
    return Path(__file__).resolve().parents[5] / "tests" / "golden"


def load(name: str) -> list[Case]:
    """All cases of a file."""
    path = folder() / "attention" / f"{name}.npz"
    assert path.exists(), f"there is no {path}: set MASKKIT_GOLDEN to the folder that holds attention/{name}.npz"
    with np.load(path) as archive:
        arrays = {key: archive[key] for key in archive.files}
    settings = json.loads(str(arrays.pop("settings")))
    return [
        Case(
            name=case,
            settings=of_case,
            inputs=_part(arrays, f"{case}.in."),
            weights=_part(arrays, f"{of_case['weights_of']}.w."),
            outputs=_part(arrays, f"{case}.out."),
        )
        for case, of_case in settings.items()
    ]


def _part(arrays: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


@contextmanager
def float64() -> Iterator[None]:
    """Let JAX compute in float64, as the other backends do when they are asked to."""
    if keras.backend.backend() != "jax":
        yield
        return
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", True)
    try:
        yield
    finally:
        jax.config.update("jax_enable_x64", before)


# -- layouts ----------------------------------------------------------------------------------------------------------


def stacked_kernel(weight: Array, parts: int, heads: int) -> Array:
    """Rows `[q; k; v]` of torch's (parts * heads * width, C), head-major -> (C, parts, heads, width)."""
    return weight.T.reshape(weight.shape[1], parts, heads, -1)


def stacked_bias(bias: Array, parts: int, heads: int) -> Array:
    """Torch's (parts * heads * width) -> (parts, heads, width)."""
    return bias.reshape(parts, heads, -1)


def head_kernel(weight: Array, heads: int) -> Array:
    """Torch's (heads * width, C) -> (C, heads, width)."""
    return weight.T.reshape(weight.shape[1], heads, -1)


def output_kernel(weight: Array, heads: int) -> Array:
    """Torch's (C, heads * width) -> (heads, width, C)."""
    return weight.T.reshape(heads, -1, weight.shape[0])
