"""Checks of shapes and saving: declared shapes, sizes that are not known, configs and files that come back."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import maskkit
from maskkit_keras.testing.calls import Differentiated, arrays, call
from maskkit_keras.testing.compare import check_close, check_finite
from maskkit_keras.testing.probe import Probe, ways


def shapes_are_declared(probe: Probe) -> None:
    """The outputs have the declared shapes, at the usual sizes and where every free size is 1."""
    layer = probe.layer()
    letters = {axis for axes in probe.ins for axis in axes if probe.free(axis) and axis not in ("B", "C", "D")}
    for sizes in ({}, dict.fromkeys(letters, 1)):
        outputs = probe.call(layer, probe.inputs(**sizes))
        expected = [tuple(probe.size(axis, sizes) for axis in axes) for axes in probe.outs]
        assert [y.shape for y in outputs] == expected, f"{probe.name}: {[y.shape for y in outputs]}, not {expected}"
        check_finite(Differentiated(outputs, [], []), probe, f"at sizes {sizes}")


def sizes_may_be_unknown(probe: Probe) -> None:
    """A functional model with unknown sizes gives what the layer gives, at several sizes, also saved and loaded."""
    layer = probe.layer()
    model, loaded = _saved(probe, layer)
    for sizes in ({}, dict(B=2, T=4, S=5 if probe.cross else 4, H=3, W=5)):
        inputs = probe.inputs(**sizes)
        given = arrays(call(model, [inputs], training=False))
        check_close(given, probe.call(layer, inputs), probe, "a functional model differs")
        check_close(arrays(call(loaded, [inputs], training=False)), given, probe, "loading changed it", atol=0)


def _saved(probe: Probe, layer: Any) -> tuple[Any, Any]:
    """A functional model around the layer, and the same from a `.keras` file."""
    inputs = [
        keras.Input([None if probe.free(a) and a not in "CD" else probe.size(a) for a in axes[1:]])
        for axes in probe.ins
    ]
    model = keras.Model(inputs, layer(*inputs))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)  # Keras' own, on Torch
        path = Path(folder) / "model.keras"
        model.save(path)
        return model, keras.saving.load_model(path)


def it_is_built_when_it_is_made(probe: Probe) -> None:
    """A layer whose config gives the width has all its weights at once, the same after the first call and loading."""
    layer = probe.config.layer()
    if layer.known_shape() is None:
        read = {axes[-1] for ins, _ in ways(probe.config) for axes in ins}
        assert read & {"C", "D"}, f"{probe.name}: its config gives the width, and it is not built"
        return
    names = [weight.path for weight in layer.weights]
    assert layer.built, f"{probe.name}: not built"
    assert len(set(names)) == len(names), f"{probe.name}: built twice: {names}"
    probe.built(layer)
    assert [weight.path for weight in layer.weights] == names, f"{probe.name}: the first call adds weights"
    again = type(layer).from_config(layer.get_config())
    again.build_from_config(layer.get_build_config())
    assert len(again.weights) == len(names), f"{probe.name}: loading adds weights"


def the_config_comes_back(probe: Probe) -> None:
    """`get_config` holds the arguments as given, and builds a layer of the same config."""
    layer = probe.config.layer(name="a_name")
    config = layer.get_config()
    assert config["name"] == "a_name", f"{probe.name}: get_config loses the name"
    again = type(layer).from_config(config)
    assert again.get_config() == config, f"{probe.name}: {again.get_config()} is not {config}"
    for name, value in maskkit.to_dict(probe.config).items():
        assert name == "type" or maskkit.to_dict(again.config)[name] == value, (
            f"{probe.name}: get_config changes {name}"
        )


CHECKS: tuple[Callable[[Probe], None], ...] = (
    shapes_are_declared,
    sizes_may_be_unknown,
    it_is_built_when_it_is_made,
    the_config_comes_back,
)
