"""The repository holds together: every plugin like its siblings, nothing listed by hand."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
KIND = {"masks": "mask", "attention": "attention", "jepa": "strategy"}
PREFIX = {"masks": "mask", "attention": "attention", "jepa": "jepa"}


def test_requirements_list_every_plugin():
    spec = importlib.util.spec_from_file_location("write", ROOT / "requirements/write.py")
    write = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write)
    assert (ROOT / "requirements/plugins.txt").read_text() == write.text(), "run: make requirements"


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_plugin_has_the_same_shape(folder):
    project = tomllib.loads((folder / "pyproject.toml").read_text())
    kind, prefix = KIND[folder.parent.name], PREFIX[folder.parent.name]
    module = f"maskkit_{prefix}_{folder.name}"
    source = folder / f"{module}.py" if kind == "mask" else folder / module / "__init__.py"
    assert project["project"]["name"] == module.replace("_", "-")
    assert project["project"]["entry-points"]["maskkit"] == {f"{kind}.{folder.name}": module}
    assert project["build-system"]["build-backend"] == "flit_core.buildapi"
    assert source.read_text().splitlines()[0] == f'"""{project["project"]["description"]}."""'
    assert (folder / "README.md").read_text().startswith(f"# {project['project']['name']}\n")
    assert (folder / f"test_{folder.name}.py").exists() or list(folder.glob("test_*.py"))


def test_the_version_stands_once_in_each_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'__version__ = "{project["version"]}"' in (ROOT / "maskkit/__init__.py").read_text()
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
