"""Imports run one way: the core in layers that know those to their left; kits and plugins know its public part."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LAYERS = [
    {"errors"},
    {"limits", "arrays", "outputs"},
    {"validators", "registry"},
    {"masks"},
    {"kernels"},
    {"configs"},
    {"api", "testing"},
    {"functional"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
PUBLIC = {
    "maskkit",
    "maskkit.arrays",
    "maskkit.errors",
    "maskkit.limits",
    "maskkit.outputs",
    "maskkit.testing",
    "maskkit.validators",
}
FILES = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in ROOT.glob("maskkit/**/*.py")}
PLUGINS = [path for path in ROOT.glob("plugins/*/*/**/*.py") if "tests" not in path.parts and path.name[:5] != "test_"]


def imports(path: Path) -> set[str]:
    """The dotted names that a file imports, also inside functions; what stands behind TYPE_CHECKING imports nothing."""
    tree = ast.parse(path.read_text())
    typing = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    ignored = {id(inner) for node in typing for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level and id(node) not in ignored:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import) and id(node) not in ignored:
            found |= {alias.name for alias in node.names}
    return found


def modules(path: Path) -> set[str]:
    """Those of them that are modules of the core; of a name in one, the module."""
    known, found = {name.removesuffix(".__init__") for name in FILES.values()}, set()
    for name in imports(path):
        while name and name not in known:
            name = name.rpartition(".")[0]
        found.add(name)
    return found - {""}


def layer(module: str) -> int:
    name = [*module.removesuffix(".__init__").split("."), "__init__"][1]
    return next(i for i, names in enumerate(LAYERS) if name in names)


@pytest.mark.parametrize("path", FILES, ids=FILES.get)
def test_the_core_imports_to_the_left_only(path):
    """From its own folder or file, and from layers before it; nobody but the last two knows the front door."""
    own = FILES[path].split(".")[1]
    for module in modules(path):
        assert module.split(".")[1:2] == [own] or layer(module) < layer(FILES[path]), f"{FILES[path]} imports {module}"


def test_no_circle_has_more_than_three_files():
    """Operators of a mask give masks, which derive from it: mask, algebra and views."""
    graph = {name.removesuffix(".__init__"): modules(path) for path, name in FILES.items()}
    reach = {name: set(deps) for name, deps in graph.items()}
    for through in reach:
        for found in reach.values():
            if through in found:
                found |= reach[through]
    circles = {frozenset(other for other in reach[name] if name in reach[other]) for name in reach}
    assert max(circles, key=len) == {"maskkit.masks.mask", "maskkit.masks.algebra", "maskkit.masks.views"}


def test_the_core_names_no_plugin():
    """Neither kits nor integrations, not even in strings or comments; distributions are found by their metadata."""
    for path in ROOT.glob("maskkit/**/*.py*"):
        if path.suffix in (".py", ".pyi"):
            for kit in ("maskkit_keras", "maskkit_jepa", "maskkit_blocks"):
                assert kit not in path.read_text(), path


@pytest.mark.parametrize("path", PLUGINS, ids=lambda path: str(path.relative_to(ROOT / "plugins")))
def test_plugins_import_the_public_part_of_the_core(path):
    for module in imports(path):
        if module.partition(".")[0] == "maskkit":
            assert module in PUBLIC or module.rpartition(".")[0] in PUBLIC, f"{path} imports {module}"
