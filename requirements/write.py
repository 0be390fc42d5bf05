"""Write what follows from the folders under plugins/ and from the version of the core.

- The lists of editable requirements beside this file.
- The bundles, plugins/<kind>/all: distributions that hold nothing, and require all others of their folder.
- The extras of the core, and the names by which it tells an unknown item from one that is not installed.
- The version, and the lower bounds of what our distributions require of each other.

Run by `make test` and `make requirements`.
"""

import re
import textwrap
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
LISTS = {
    "plugins.txt": ("Every plugin", ["*"]),
    "layers.txt": ("Masks and attention layers", ["attention", "masks"]),
    "masks.txt": ("Masks", ["masks"]),
}
BUNDLES = {
    "attention": ("layers", "All attention layers of maskkit, on Keras"),
    "exports": ("exports", "All forms of other libraries that maskkit's masks take"),
    "jepa": ("strategies", "All JEPA and masked-image strategies of maskkit, on Torch"),
    "kernels": ("kernels", "All kernels of maskkit, for attention at the cost of what a mask allows"),
    "masks": ("masks", "All masks of maskkit"),
    "tools": ("tools", "All commands that join maskkit's command line"),
}
"""Of a folder under plugins/: the extra of the core and the name of the bundle, and its description."""
OWN = re.compile(r'"(maskkit[\w-]*)(\[[\w,-]+\])?>=[^"]+"')


@cache
def version() -> str:
    """The version of the core, which is that of every distribution."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def bound() -> str:
    """The lower bound of what our distributions require of each other."""
    return f">={version().removesuffix('.0')}"


def folders(kind: str) -> list[Path]:
    """The plugins of a kind, but for the bundle."""
    return sorted(path.parent for path in ROOT.glob(f"plugins/{kind}/*/pyproject.toml") if path.parent.name != "all")


@cache
def project(folder: Path) -> dict:
    """What a plugin's pyproject says of it."""
    return dict(tomllib.loads((folder / "pyproject.toml").read_text())["project"])


def requirements(name: str) -> str:
    """One of the lists; its requirements are relative to the root of the repository."""
    what, kinds = LISTS[name]
    found = sorted(folder.relative_to(ROOT).as_posix() for kind in kinds for folder in folders(kind))
    found += [f"plugins/{kind}/all" for kind in sorted(BUNDLES) if kind in kinds or kinds == ["*"]]
    return "\n".join([f"# {what}; written by requirements/write.py.", *(f"-e ./{path}" for path in sorted(found)), ""])


def bundle(kind: str) -> Iterator[tuple[str, str]]:
    """The files of a bundle; flit wants a module in every distribution."""
    extra, description = BUNDLES[kind]
    needs = "".join(f'    "{project(folder)["name"]}{bound()}",\n' for folder in folders(kind))
    yield (
        f"plugins/{kind}/all/pyproject.toml",
        f"""# Written by requirements/write.py.
[project]
name = "maskkit-{extra}"
version = "{version()}"
description = "{description}"
readme = {{ text = "{description}: this distribution requires them, and holds nothing.", content-type = "text/plain" }}
license = "Apache-2.0"
requires-python = ">=3.11"
dependencies = [
{needs}]

[build-system]
requires = ["flit_core>=3.11,<5"]
build-backend = "flit_core.buildapi"
""",
    )
    yield f"plugins/{kind}/all/maskkit_{extra}.py", f'"""{description}."""\n'


def extras() -> str:
    """The extras of the core that bring bundles."""
    lines = {extra: [f"maskkit-{extra}{bound()}"] for extra, _ in BUNDLES.values()}
    for folder in folders("integrations"):
        lines[folder.name] = [f"{project(folder)['name']}{bound()}"]
    lines["all"] = [f"maskkit[{','.join(sorted(lines))}]"]
    return "\n".join(f'{name} = ["{needs[0]}"]' for name, needs in lines.items())


def published() -> str:
    """The module of the core that knows what is not installed."""
    known: dict[str, tuple[str, str, list[str]]] = {}
    for kind, (extra, _) in BUNDLES.items():
        for folder in folders(kind):
            told = project(folder)
            for full_name in told.get("entry-points", {}).get("maskkit", {}):
                prefix, _, name = full_name.partition(".")
                start = told["name"].removesuffix(name.replace("_", "-"))
                known.setdefault(prefix, (start, extra, []))[2].append(name)
    rows = ""
    for prefix, (start, extra, names) in sorted(known.items()):
        text = textwrap.fill(" ".join(names), 112, initial_indent=" " * 8, subsequent_indent=" " * 8)
        rows += (
            f'    "{prefix}": (\n        "{start}",\n        "{extra}",\n        """\n{text}\n        """,\n    ),\n'
        )
    return f'''"""What our distributions offer, installed or not; written by requirements/write.py."""

PUBLISHED = {{
{rows}}}
"""By the prefix of entry points: how names of distributions begin, the extra that brings all, and what they offer."""
'''


def core() -> str:
    """The pyproject of the core, with its extras."""
    text = (ROOT / "pyproject.toml").read_text()
    return re.sub(r"(?s)(# Bundles.*?\n).*?(?=\n\n)", lambda found: found[1] + extras(), text, count=1)


def versioned(text: str) -> str:
    """The pyproject of a plugin, with the version of the core, and lower bounds equal to it."""
    text = re.sub(r'(?m)^version = ".*"$', f'version = "{version()}"', text, count=1)
    return OWN.sub(lambda found: f'"{found[1]}{found[2] or ""}{bound()}"', text)


def files() -> dict[str, str]:
    """Everything that is written, by its path from the root of the repository."""
    written = {f"requirements/{name}": requirements(name) for name in LISTS}
    written |= {path: text for kind in BUNDLES for path, text in bundle(kind)}
    written |= {"pyproject.toml": core(), "maskkit/registry/published.py": published()}
    for folder in folders("*"):
        path = folder / "pyproject.toml"
        written[path.relative_to(ROOT).as_posix()] = versioned(path.read_text())
    return written


if __name__ == "__main__":
    for path, text in files().items():
        target = ROOT / path
        if not target.exists() or target.read_text() != text:
            target.parent.mkdir(exist_ok=True)
            target.write_text(text)
