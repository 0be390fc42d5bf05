"""The example of a stranger's package: installed as a stranger would, found, drawn, and held to the contract."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples/third_party_mask"


@pytest.fixture(scope="module")
def env(tmp_path_factory):
    """An environment in which the package is installed, in a folder of its own."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), str(EXAMPLE)], check=True)
    return {**os.environ, "PYTHONPATH": str(folder)}


def maskkit(env, *args):
    done = subprocess.run(
        [sys.executable, "-m", "maskkit", *args], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_is_listed_with_its_provider(env):
    assert "acme-checkerboard" in maskkit(env, "list", "checkerboard")


def test_it_draws(env):
    assert maskkit(env, "render", "checkerboard", "--seq-len", "4") == "┌────┐\n│▀▄▀▄│\n│▀▄▀▄│\n└────┘\n"


def test_it_combines_with_ours(env):
    drawn = maskkit(env, "render", "causal & checkerboard(square=2)", "--seq-len", "4")
    assert drawn == "┌────┐\n│█   │\n│ ▄█ │\n└────┘\n"


def test_its_own_tests_pass(env):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=EXAMPLE, check=False)
    assert "2 passed" in done.stdout, done.stdout
