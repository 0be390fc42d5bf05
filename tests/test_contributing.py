"""CONTRIBUTING begins with five commands that add a mask; they do, in a copy of the repository."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
COPIED = ["docs", "maskkit", "plugins", "requirements", "Makefile", "README.md", "pyproject.toml"]
RUN_AS = {
    "maskkit": ["-m", "maskkit"],
    "pip": ["-m", "pip", "--disable-pip-version-check"],
    "pytest": ["-m", "pytest", "-p", "no:cacheprovider"],
}
TARGETS = {"requirements": "requirements/write.py", "docs-gallery": "docs/gallery.py"}
"""What `make` runs, in an environment that it has made."""


def commands() -> list[list[str]]:
    [first, *_] = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE | re.DOTALL)
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in first.splitlines()]


@pytest.fixture
def copy(tmp_path):
    """What the commands touch of the repository."""
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        else:
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def python(tmp_path):
    """An environment in which all of this one is, and what is installed there stays there."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    paths = {"base": str(venv), "platbase": str(venv)}
    here = Path(sysconfig.get_path("purelib", "venv", paths))
    (here / "all_of_it.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return str(venv / "bin/python")


def run(name: str, *args: str) -> list[list[str]]:
    """A command, as arguments of the environment's Python; `make` gives several."""
    if name == "make":
        return [[TARGETS[target]] for target in args]
    return [[*RUN_AS[name], *args, *(["--no-deps"] if name == "pip" else [])]]


@pytest.mark.slow
def test_the_five_commands_add_a_mask(copy, python):
    assert len(commands()) == 5
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    for command in commands():
        for one in run(*command):
            done = subprocess.run([python, *one], cwd=copy, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    assert "-e ./plugins/masks/mine\n" in (copy / "requirements/plugins.txt").read_text()
    bundle = tomllib.loads((copy / "plugins/masks/all/pyproject.toml").read_text())
    assert "maskkit-mask-mine" in {need.partition(">")[0] for need in bundle["project"]["dependencies"]}
    assert "| [mine](../plugins/masks/mine) |" in (copy / "docs/masks.md").read_text()
