"""Python 3.12.1 inlines comprehensions so that a name bound in one is unbound in the next, where it is a global."""

import symtable
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [path for part in ("maskkit", "plugins", "examples") for path in sorted(ROOT.glob(f"{part}/**/*.py"))]
INLINED = {"listcomp", "setcomp", "dictcomp"}

pytestmark = pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="3.12 and newer merge these tables into the function's"
)


def clashes(table):
    """Functions in which one comprehension binds a name that another reads as a global."""
    inner = table.get_children()
    symbols = [symbol for child in inner if child.get_name() in INLINED for symbol in child.get_symbols()]
    both = {s.get_name() for s in symbols if s.is_local()} & {s.get_name() for s in symbols if s.is_global()}
    found = [(table.get_name(), name) for name in sorted(both)] if table.get_type() == "function" else []
    return found + [clash for child in inner for clash in clashes(child)]


def found(text):
    return clashes(symtable.symtable(text, "<test>", "exec"))


def test_the_clash_is_seen():
    assert found("def f():\n    [row for row in ()]\n    return [row(x) for x in ()]\n") == [("f", "row")]


@pytest.mark.parametrize("part", ["maskkit", "plugins", "examples"])
def test_no_comprehension_hides_a_global_of_another(part):
    paths = [path for path in FILES if path.is_relative_to(ROOT / part) and "templates" not in path.parts]
    assert paths
    assert {str(path): hits for path in paths if (hits := found(path.read_text()))} == {}
