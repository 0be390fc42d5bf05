"""Every snippet of every README and docs page runs, and shows what it says."""

import importlib
import re
import shlex
from pathlib import Path

import pytest
from maskkit.cli import run

ROOT = Path(__file__).parent.parent
FOUND = [path for pattern in ("*.md", "docs/**/*.md", "plugins/*/*/README.md") for path in sorted(ROOT.glob(pattern))]
PAGES = [path for path in FOUND if "generated" not in path.parts]  # by `make docs`, from these


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def pages_with(language: str) -> list:
    return [pytest.param(p, id=str(p.relative_to(ROOT))) for p in PAGES if blocks(p, language)]


@pytest.mark.parametrize("page", pages_with("python"))
def test_python_snippets_run(page, tmp_path, monkeypatch):
    """The blocks of a page run in order, in one namespace; but for those that need timm where it cannot be imported."""
    monkeypatch.chdir(tmp_path)
    namespace, left = {"__name__": "snippet"}, []
    for i, code in enumerate(blocks(page, "python")):
        if "import timm" in code and not importable("timm"):
            left.append(i)
        else:
            exec(compile(code, f"{page.name} block {i}", "exec"), namespace)
    if left:
        pytest.skip(f"all but the blocks {left}, which need timm")


def importable(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("page", pages_with("console"))
def test_console_snippets_show_what_they_say(page, capsys, tmp_path, monkeypatch):
    """`$ maskkit ...` lines, each followed by what it prints; other commands are for people."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for block in blocks(page, "console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = part.partition("\n")
            if command.startswith("maskkit "):
                run(shlex.split(command)[1:])
                done = capsys.readouterr()
                assert (done.out + done.err).rstrip() == expected.rstrip(), command


AUTHORS = {
    "write-a-mask": "mask",
    "write-a-layer": "attention",
    "write-a-strategy": "strategy",
    "write-a-kernel": "kernel",
    "write-an-exporter": "exporter",
}


@pytest.mark.parametrize("page", AUTHORS)
def test_what_a_page_for_authors_quotes_is_in_its_example(page):
    """Whose own tests pass: see test_third_party.py."""
    text = ROOT / f"docs/{page}.md"
    example = ROOT / f"examples/third_party_{AUTHORS[page]}"
    sources = [path.read_text() for path in example.rglob("*.py")]
    assert f"(../examples/{example.name})" in text.read_text()
    assert blocks(text, "py")
    for quoted in blocks(text, "py"):
        assert any(quoted in source for source in sources), quoted
