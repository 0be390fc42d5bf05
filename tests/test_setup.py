"""The repository holds together: every plugin like its siblings, nothing listed by hand."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
PREFIX = {"masks": "mask", "attention": "attention", "jepa": "jepa", "kernels": "kernel"}
KIND = {"masks": "mask", "attention": "attention", "jepa": "strategy", "kernels": "kernel"}
KITS = {"attention": "maskkit-keras", "jepa": "maskkit-jepa", "kernels": "maskkit-blocks"}
ITEMS = [folder for folder in PLUGINS if folder.parent.name in KIND and folder.name != "kit"]
OTHERS = [folder for folder in PLUGINS if folder not in ITEMS]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("name", ["plugins.txt", "layers.txt"])
def test_requirements_list_every_plugin(name):
    spec = importlib.util.spec_from_file_location("write", ROOT / "requirements/write.py")
    write = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write)
    assert (ROOT / "requirements" / name).read_text() == write.text(name), "run: make requirements"


@pytest.mark.parametrize("folder", ITEMS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_item_has_the_same_shape(folder):
    kind, prefix = KIND[folder.parent.name], PREFIX[folder.parent.name]
    module = f"maskkit_{prefix}_{folder.name}"
    source = folder / f"{module}.py" if kind == "mask" else folder / module / "__init__.py"
    assert project(folder)["name"] == module.replace("_", "-")
    assert project(folder)["entry-points"]["maskkit"] == {f"{kind}.{folder.name}": module}
    assert source.read_text().splitlines()[0] == f'"""{project(folder)["description"]}."""'


@pytest.mark.parametrize("folder", OTHERS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_kit_form_and_integration_has_the_same_shape(folder):
    name = KITS[folder.parent.name] if folder.name == "kit" else f"maskkit-{folder.name}"
    module = name.replace("-", "_")
    [source] = [path for path in (folder / f"{module}.py", folder / module / "__init__.py") if path.exists()]
    assert project(folder)["name"] == name
    assert source.read_text().splitlines()[0].removesuffix('"""') == f'"""{project(folder)["description"]}.'


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_every_plugin_has_a_readme_and_tests(folder):
    built_by = tomllib.loads((folder / "pyproject.toml").read_text())["build-system"]["build-backend"]
    assert built_by == "flit_core.buildapi"
    assert (folder / "README.md").read_text().startswith(f"# {project(folder)['name']}\n")
    assert list(folder.glob("**/test_*.py"))


@pytest.mark.parametrize("folder", ITEMS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_items_name_their_kit_and_leave_its_libraries_to_it(folder):
    """Layers and strategies depend on the kit, which declares Keras or Torch; masks on the core; kernels on the
    kit if they compute by blocks."""
    needs = {requirement.partition(">")[0] for requirement in project(folder)["dependencies"]}
    kit = KITS.get(folder.parent.name, "maskkit")
    assert kit in needs or (folder.parent.name == "kernels" and "maskkit" in needs)
    assert not needs & {"maskkit[keras]", "maskkit[torch]", "keras", "torch"}


def test_the_version_stands_once_in_each_place():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f'__version__ = "{project["version"]}"' in (ROOT / "maskkit/__init__.py").read_text()
    assert f"## {project['version']}" in (ROOT / "CHANGELOG.md").read_text()
