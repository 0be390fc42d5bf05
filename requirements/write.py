"""Write plugins.txt, one editable requirement for every folder under plugins/, and layers.txt, what layers need of it.

Run by `make test`.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
LISTS = {
    "plugins.txt": ("Every plugin", ["*"]),
    "layers.txt": ("Masks and attention layers", ["attention", "masks"]),
}


def text(name: str) -> str:
    """The content of one of the lists; its requirements are relative to the root of the repository."""
    what, kinds = LISTS[name]
    projects = [path for kind in kinds for path in ROOT.glob(f"plugins/{kind}/*/pyproject.toml")]
    lines = sorted(f"-e ./{path.parent.relative_to(ROOT).as_posix()}" for path in projects)
    return "\n".join([f"# {what}; written by requirements/write.py.", *lines, ""])


if __name__ == "__main__":
    for name in LISTS:
        target = ROOT / "requirements" / name
        if not target.exists() or target.read_text() != text(name):
            target.write_text(text(name))
