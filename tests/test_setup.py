"""The repository holds together: every plugin like its siblings, nothing listed by hand."""

import ast
import importlib.util
import re
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
from maskkit.registry.catalog import how_to_install

ROOT = Path(__file__).parent.parent
PROJECTS = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
PLUGINS = [folder for folder in PROJECTS if folder.name != "all"]
PREFIX = {"masks": "mask", "attention": "attention", "jepa": "jepa", "kernels": "kernel"}
KIND = {"masks": "mask", "attention": "attention", "jepa": "strategy", "kernels": "kernel"}
KITS = {"attention": "maskkit-keras", "jepa": "maskkit-jepa", "kernels": "maskkit-blocks"}
ITEMS = [folder for folder in PLUGINS if folder.parent.name in KIND and folder.name != "kit"]
OTHERS = [folder for folder in PLUGINS if folder not in ITEMS]


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@cache
def written() -> dict[str, str]:
    """What requirements/write.py writes, by path."""
    spec = importlib.util.spec_from_file_location("write", ROOT / "requirements/write.py")
    write = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write)
    return write.files()


@pytest.mark.parametrize("path", written())
def test_what_follows_from_the_folders_is_written(path):
    """Lists of requirements, bundles, extras, names of what may be installed, versions."""
    assert (ROOT / path).read_text() == written()[path], "run: make requirements"


@pytest.mark.parametrize("kind", sorted(folder.parent.name for folder in PROJECTS if folder.name == "all"))
def test_a_bundle_requires_its_whole_folder(kind):
    needs = {requirement.partition(">")[0] for requirement in project(ROOT / f"plugins/{kind}/all")["dependencies"]}
    assert needs == {project(folder)["name"] for folder in PLUGINS if folder.parent.name == kind}


def test_the_extra_all_brings_every_plugin():
    extras = project(ROOT)["optional-dependencies"]
    brought = set(re.findall(r"[\w-]+", extras["all"][0].partition("[")[2]))
    assert brought == set(extras) - {"all", "plot", "torch", "jax", "keras"}
    top = {requirement.partition(">")[0] for extra in brought for requirement in extras[extra]}
    bundles = {project(folder)["name"] for folder in PROJECTS if folder.name == "all"}
    assert top == bundles | {project(folder)["name"] for folder in PLUGINS if folder.parent.name == "integrations"}


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_whoever_asks_for_what_is_not_installed_is_told_how_to_get_it(folder):
    for full_name in project(folder).get("entry-points", {}).get("maskkit", {}):
        told = how_to_install([full_name])
        assert f"pip install {project(folder)['name']}, or 'maskkit[" in told


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
    assert f'version: "{project["version"]}"' in (ROOT / "CITATION.cff").read_text()


# -- what our distributions require ----------------------------------------------------------------------------------

NEEDED = [ROOT, *PROJECTS]
MODULES = {"yaml": "pyyaml"}
"""Distributions whose module has another name."""
BROUGHT = {"jax", "keras", "torch"}
"""What comes with the arrays of whoever calls; only a kit that makes arrays requires it."""


def requirements(told: dict) -> dict[str, str]:
    """Name -> bounds, of all that a project requires; an extra counts as what it is named after."""
    found = [re.match(r"([\w-]+)(?:\[([\w,-]+)\])?(.*)", text).groups() for text in told["dependencies"]]
    extras = {extra: "" for _, named, _ in found if named for extra in named.split(",")}
    return {**extras, **{name.replace("_", "-"): bound for name, _, bound in found}}


def imported(folder: Path) -> set[str]:
    """The modules that the files of a distribution import at their top, and those of ours that they import anywhere."""
    found = set()
    sources = [*folder.glob("maskkit*.py"), *folder.glob("maskkit*/**/*.py")]
    for tree in (ast.parse(path.read_text()) for path in sources):
        top = set(map(id, tree.body))
        for node in ast.walk(tree):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            modules = {name.partition(".")[0] for name in names}
            found |= modules if id(node) in top else {name for name in modules if name.startswith("maskkit")}
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("folder", NEEDED, ids=lambda p: f"{p.parent.name}/{p.name}")
def test_a_distribution_requires_what_it_imports(folder):
    needs, own = requirements(project(folder)), project(folder)["name"]
    given = {own, *needs, *BROUGHT}
    if own != "maskkit" and any(need.startswith("maskkit") for need in needs):
        given |= {"maskkit", *requirements(project(ROOT))}
    missing = {MODULES.get(module, module).replace("_", "-") for module in imported(folder)} - given
    assert not missing, f"{own} imports {sorted(missing)}, and does not require it"


def test_kits_require_the_library_of_their_items():
    assert {"keras"} <= requirements(project(ROOT / "plugins/attention/kit")).keys()
    assert {"torch"} <= requirements(project(ROOT / "plugins/jepa/kit")).keys()
