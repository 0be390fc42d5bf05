"""Write plugins.txt: one editable requirement for every folder under plugins/. Run by `make test`."""

from pathlib import Path

ROOT = Path(__file__).parent.parent


def lines() -> list[str]:
    """The requirements, relative to the root of the repository."""
    folders = sorted(path.parent for path in ROOT.glob("plugins/*/*/pyproject.toml"))
    return [f"-e ./{folder.relative_to(ROOT).as_posix()}" for folder in folders]


def text() -> str:
    """The content of plugins.txt."""
    return "\n".join(["# Every plugin; written by requirements/write.py.", *lines(), ""])


if __name__ == "__main__":
    target = ROOT / "requirements" / "plugins.txt"
    if not target.exists() or target.read_text() != text():
        target.write_text(text())
