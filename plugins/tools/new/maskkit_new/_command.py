"""The command `maskkit new`: a folder made from the templates beside it, whole or not at all."""

from __future__ import annotations

import ast
import keyword
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated, NamedTuple

import typer
import maskkit
from maskkit import ConfigError
from maskkit.outputs import written

app = typer.Typer()

TEMPLATES = Path(__file__).parent / "templates"


class Plugin(NamedTuple):
    """What plugins of a kind have in common.

    Attributes:
        point: the prefix of the entry point.
        start: how names of distributions begin.
        requires: the core, or the kit that requires it.
        summary: of the template, after the name.
        shown_by: a command that shows what was made.
    """

    point: str
    start: str
    requires: str
    summary: str
    shown_by: str


KINDS = {
    "mask": Plugin(
        "mask", "maskkit-mask-", "maskkit", "a query sees the keys near it", "maskkit render {} --seq-len 32"
    ),
    "attention": Plugin(
        "attention",
        "maskkit-attention-",
        "maskkit-keras",
        "self-attention with one head, whose queries and keys share a kernel",
        "maskkit show attention.{}",
    ),
    "strategy": Plugin(
        "strategy",
        "maskkit-jepa-",
        "maskkit-jepa",
        "whole rows of patches are predicted from the others",
        "maskkit render strategy.{}",
    ),
    "kernel": Plugin(
        "kernel",
        "maskkit-kernel-",
        "maskkit",
        "attention under a mask by the formula, in plain Torch",
        "maskkit plan causal --seq-len 64",
    ),
    "exporter": Plugin(
        "backend", "maskkit-", "maskkit", "for every query the keys that it sees, as lists", "maskkit doctor"
    ),
}
RESERVED = ("all", "kit")
"""Names of folders that are no items."""
OURS = ("blocks", "exports", "jepa", "keras", "kernels", "layers", "masks", "strategies", "tools", "transformers")
"""Distributions of ours, maskkit-<name>, that an exporter must not be called after."""


@app.command("new")
def command(
    kind: Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to write.")],
    name: Annotated[str, typer.Argument(help="Its name, such as my_mask: lower case, digits and underscores.")],
    into: Annotated[Path, typer.Option("--dir", metavar="DIR", help="Where the folder NAME is made.")] = Path(),
) -> None:
    """Make a plugin: a folder that installs, passes its tests, lists and draws as it stands; then change its rule."""
    if kind not in KINDS:
        raise typer.BadParameter(f"must be one of {', '.join(KINDS)}, got {kind!r}", param_hint="kind")
    folder = new(kind, name, into)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        typer.echo(f"wrote {path}")
    typer.echo(f"next:  pip install -e {folder} && {KINDS[kind].shown_by.format(name)} && pytest {folder}")


def new(kind: str, name: str, into: Path = Path()) -> Path:
    """Make the folder `into / name` of a plugin, and return it.

    Raises:
        ConfigError: the name is none for an item, or is taken; the folder is there already, or cannot be made. Nothing
            is left behind then.
    """
    check_name(kind, name)
    files = rendered(kind, name)
    target = into / name
    if target.exists() or target.is_symlink():
        raise ConfigError(f"{target} is there already; choose another name, or another --dir")
    if not into.is_dir():
        raise ConfigError(f"there is no folder {into}; make it, or choose another --dir")
    beside = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=into))
    try:
        for path, text in files.items():
            (beside / path).parent.mkdir(parents=True, exist_ok=True)
            with written(beside / path) as file:
                file.write(text.encode())
        beside.chmod(0o755)  # mkdtemp's are the owner's alone
        beside.rename(target)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    return target


def check_name(kind: str, name: str) -> None:
    """Refuse what is no name for an item of this kind, with the way out."""
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        tidy = re.sub(r"[^a-z0-9]+", "_", re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name).lower()).strip("_0123456789")
        way = f", such as {tidy!r}" if tidy else ""
        raise ConfigError(
            f"name must be lower case letters, digits and single underscores, got {name!r}; give one{way}"
        )
    if keyword.iskeyword(name) or name in RESERVED or (kind == "exporter" and name in OURS):
        raise ConfigError(f"{name!r} means something else already; choose another name, such as 'my_{name}'")
    plugin, module = KINDS[kind], _module(kind, name)
    if provider := maskkit.provider_of(f"{plugin.point}.{name}"):
        raise ConfigError(f"{kind} {name!r} is offered by {provider}; choose another name, such as 'my_{name}'")
    if kind == "exporter" and name in maskkit.from_array([[True]], true="allowed").export("?"):
        raise ConfigError(f"{name!r} is a form that maskkit has; choose another name, such as 'my_{name}'")
    if find_spec(module) is not None:
        raise ConfigError(f"there is a module {module} already; choose another name, or uninstall it")
    sources = [text for path, text in rendered(kind, name).items() if path.suffix == ".py" and path.name[:5] != "test_"]
    nodes = [node for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    if any(alias.name == _class(name) for node in nodes if not node.level for alias in node.names):
        raise ConfigError(f"{name!r} would hide maskkit's own {_class(name)}; choose another name, such as 'my_{name}'")


def rendered(kind: str, name: str) -> dict[Path, str]:
    """The files of a plugin, by their path in its folder."""
    plugin, module, class_name = KINDS[kind], _module(kind, name), _class(name)
    words = dict(
        name=name,
        Class=class_name,
        module=module,
        distribution=module.replace("_", "-"),
        point=plugin.point,
        requires=plugin.requires,
        summary=f"{class_name}: {plugin.summary}",
        version=".".join(maskkit.__version__.split(".")[:2]),
    )
    found = {Path("pyproject.toml"): TEMPLATES / "pyproject.toml.in"}
    for path in (TEMPLATES / kind).rglob("*.in"):
        place = path.relative_to(TEMPLATES / kind).as_posix().removesuffix(".in")
        found[Path(place.replace("MODULE", module).replace("NAME", name))] = path
    return {place: Template(path.read_text(encoding="utf-8")).substitute(words) for place, path in found.items()}


def _module(kind: str, name: str) -> str:
    return KINDS[kind].start.replace("-", "_") + name


def _class(name: str) -> str:
    return "".join(map(str.capitalize, name.split("_")))
