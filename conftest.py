"""Settings that every test shares."""

import os
import sys
from importlib import metadata

import pytest

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ.setdefault("JAX_PLATFORMS", "cpu")


def version(package: str) -> str:
    """Which version is installed; empty if none is."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


MISMATCHED = "+cpu" in version("torch") and version("torchvision") and "+cpu" not in version("torchvision")
if MISMATCHED:
    # PyPI's torchvision is built for Torch with CUDA, and cannot be imported beside the CPU build. transformers, which
    # does without one that is not installed, stumbles over it; so here it is not.
    sys.modules["torchvision"] = None


def pytest_report_header():
    if not MISMATCHED:
        return None
    which = f"torchvision {version('torchvision')} is not for torch {version('torch')}"
    return f"{which}: tests run as if it were not installed, and those of timm, which needs it, are skipped"


@pytest.fixture
def cli(capsys, monkeypatch):
    """Runs a command line: (exit code, stdout, stderr)."""
    from maskkit.cli import run

    monkeypatch.setenv("COLUMNS", "80")

    def call(*args):
        code = run(list(args))
        done = capsys.readouterr()
        return code, done.out, done.err

    return call
