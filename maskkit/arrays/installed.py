"""Which array libraries are installed, and which of them Keras computes with."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path


def absent_backends() -> dict[str, str]:
    """Of torch, jax and keras, those that are not there, and why."""
    absent = {name: "not installed" for name in ("torch", "jax", "keras") if not find_spec(name)}
    if "keras" not in absent and not find_spec(library := choose_keras_backend()):
        absent["keras"] = f"its own backend, {library}, is not installed"
    return absent


def choose_keras_backend() -> str:
    """The library that Keras computes with.

    Where nobody named one, and Keras' own choice is not installed, this names one that is, by KERAS_BACKEND; once Keras
    is imported it is too late.
    """
    if "keras" in sys.modules:
        return str(sys.modules["keras"].config.backend())
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras", "keras.json")
    try:
        preferred = str(json.loads(file.read_text())["backend"])
    except (OSError, ValueError, LookupError, TypeError):
        preferred = "tensorflow"
    chosen = next(filter(find_spec, (preferred, "torch", "jax", "tensorflow")), preferred)
    if chosen != preferred:
        os.environ["KERAS_BACKEND"] = chosen
    return chosen
