"""docs/promises.md: every promise has a test, and every test that it names exists."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parent.parent / "docs" / "promises.md"
LINKS = re.findall(r"\[(test_\w+)\]\(([^)]+)\)", PAGE.read_text(encoding="utf-8"))
ROWS = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| **")]


@pytest.mark.parametrize(("name", "path"), LINKS, ids=[name for name, _ in LINKS])
def test_a_test_that_holds_a_promise_exists(name, path):
    source = (PAGE.parent / path).read_text(encoding="utf-8")
    assert re.search(rf"^def {name}\(", source, re.MULTILINE)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("**")[1])
def test_a_promise_names_its_test(row):
    assert re.search(r"\| \[test_\w+\]\(", row)
