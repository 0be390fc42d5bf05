"""The same weights on another backend: outputs that do not depend on it.

Run as a program (`python -m maskkit_keras.testing.backends FILE`, under some `KERAS_BACKEND`) it writes what all
installed layers give for fixed weights and inputs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import maskkit
from maskkit_keras.testing.probe import Probe, ways

Array = npt.NDArray[Any]


def other_backends() -> list[str]:
    """The installed backends beside the one that runs."""
    return [name for name in ("torch", "jax", "tensorflow") if name != keras.backend.backend() and find_spec(name)]


def outputs_here() -> dict[str, Array]:
    """What every installed layer gives on this backend: by layer, sample, way to call it, and number of the output."""
    found: dict[str, Array] = {}
    for name in maskkit.names("attention"):
        cls: Any = maskkit.find(name, "attention")
        for i, sample in enumerate(cls.samples):
            for way in range(len(ways(Probe(cls, sample).config))):
                given = _outputs(Probe(cls, sample, way))
                found |= {f"{name} sample {i} way {way} output {j}": y for j, y in enumerate(given)}
    return found


def _outputs(probe: Probe) -> list[Array]:
    """With and without blocked keys."""
    layer, inputs = probe.layer(), probe.inputs()
    outputs = probe.call(layer, inputs)
    if "keys" in probe.masks:
        outputs += probe.call(layer, inputs, **probe.key_mask(probe.some_keys(inputs), inputs))
    return outputs


_QUICK_XLA = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
"""These programs compile much and compute little."""


def outputs_on(backend: str) -> dict[str, Array]:
    """The same in another process, on another backend."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outputs.npz"
        command = [sys.executable, "-m", "maskkit_keras.testing.backends", str(path)]
        env = {"XLA_FLAGS": _QUICK_XLA, **os.environ, "KERAS_BACKEND": backend}
        run = subprocess.run(command, env=env, stderr=subprocess.PIPE, text=True)
        assert run.returncode == 0, f"{backend}: {run.stderr[-2000:]}"
        with np.load(path) as archive:
            return {name: archive[name] for name in archive.files}


if __name__ == "__main__":
    np.savez(sys.argv[1], **outputs_here())  # type: ignore[arg-type]
