"""What a command is about: a name, an expression, or a config on stdin or in a file; its parameters become options."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os.path import isfile
from pathlib import Path
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand, TyperOption
from maskkit.errors import ConfigError, MaskkitError, UnknownName, config_error

if TYPE_CHECKING:
    from maskkit.configs.describe import Parameter
    from maskkit.registry.item import Item

_OPTIONS = "maskkit.options"
VALUES = "maskkit.values"
"""Where a context keeps the options of items that were given."""
_READ = "maskkit.read"
_METAVARS = {"an integer": "INT", "a number": "FLOAT", "a string": "TEXT"}


class Read(NamedTuple):
    """A target that was read.

    Attributes:
        tree: the mappings that it stands for.
        where: the file and section that it came from; empty for what was typed.
        items: the items in the tree, and what it gives them.
    """

    tree: Any
    where: str
    items: list[tuple[type[Item], Mapping[str, Any]]]


def _completed(incomplete: str) -> list[str]:
    """Completion, from metadata: the last word of an expression, among the names of what may have a picture."""
    from maskkit.registry.catalog import items
    from maskkit.registry.item import KINDS

    before = incomplete.rstrip(f"{ascii_letters}{digits}_.")
    word = incomplete.removeprefix(before)
    drawn = [entry for entry in items() if entry.kind not in KINDS or not KINDS[entry.kind].base.no_picture]
    names = {entry.full_name if "." in word else entry.name for entry in drawn}
    return [before + name for name in sorted(names) if name.startswith(word)]


Target = Annotated[
    str,
    typer.Argument(
        metavar="NAME|EXPR|FILE|-",
        help='A name, an expression such as "causal & ~banded(band_width=5)", a YAML, TOML or JSON file, or - for a '
        "config on stdin.",
        autocompletion=_completed,
    ),
]


class TargetCommand(TyperCommand):
    """A command whose first argument is a target: looks at it before parsing, and adds its parameters as options."""

    def __init__(self, *args: Any, params: list[Any], **kwargs: Any) -> None:
        key = TyperOption(
            param_decls=["--key"],
            type=str,
            expose_value=False,  # it is read with the file
            help="Dotted path of the section that is meant, in a file.",
        )
        super().__init__(*args, params=[*params, key], **kwargs)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        target, key = self._target(args)
        if target is not None:
            try:
                ctx.meta[_READ] = read = _read(target, key)
                for cls, _ in read.items:
                    if cls.no_picture:
                        raise ConfigError(f"{cls.name} {cls.no_picture.replace('NAME', cls.name)}")
                ctx.meta[_OPTIONS] = _options(read.items, {name for p in self.params for name in p.opts})
            except MaskkitError:
                if not ctx.resilient_parsing:  # as a shell does that completes
                    raise
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, ())]

    def invoke(self, ctx: Any) -> Any:
        given = [(option, ctx.params.pop(option.name)) for option in ctx.meta.get(_OPTIONS, ())]
        ctx.meta[VALUES] = {
            option.name.removeprefix("_"): value if option.is_flag else _value(value)
            for option, value in given
            if value is not None
        }
        return super().invoke(ctx)

    def _target(self, args: list[str]) -> tuple[str | None, str | None]:
        """The first argument that is neither an option nor the value of one, and the value of `--key`.

        Options of items count as taking a value.
        """
        flags = {name for p in self.params for name in (*p.opts, *p.secondary_opts) if getattr(p, "is_flag", False)}
        flags |= {"-h", "--help"}
        target, given = None, dict[str, str]()
        words = iter(args)
        for word in words:
            option, equals, value = word.partition("=")
            if word == "-" or not word.startswith("-"):
                target = word if target is None else target
            elif word not in flags:
                given[option] = value if equals else next(words, "")
        return target, given.get("--key")


def _read(target: str, key: str | None) -> Read:
    """A target; a name of several kinds means the one that has a picture."""
    from maskkit.configs.expressions import tree
    from maskkit.configs.files import SUFFIXES, read_section
    from maskkit.configs.reading import form_of
    from maskkit.registry.loader import registry

    suffix = Path(target).suffix.lower()
    is_file = suffix in SUFFIXES or (suffix != "" and isfile(target))  # noqa: PTH113 - Path asks the system, which may find it long
    if key is not None and not is_file:
        raise ConfigError(f"--key names a section of a file, and {target!r} is none")
    found = read_section(target, key) if is_file else _stdin() if target == "-" else tree(target)
    where = f"{target} at {key}" if key else target if is_file else "stdin" if target == "-" else ""
    if isinstance(found, Mapping) and "type" in found:
        offered = registry.offered_as(found["type"])
        drawn = [name for name in offered if not registry.kind(name.partition(".")[0]).base.no_picture]
        if len(drawn) == 1 < len(offered):
            found = {**found, "type": drawn[0]}
    elif is_file and isinstance(found, Mapping) and not form_of(found):
        sections = ", ".join(name for name, part in found.items() if isinstance(part, Mapping)) or "none"
        raise ConfigError(f"{where}: has no type; name the section that is meant with --key (it has {sections})")
    with naming(where):
        return Read(found, where, _items(found))


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Says in errors where the config came from."""
    try:
        yield
    except ConfigError as error:
        if not where or str(error).startswith(where):
            raise
        raise ConfigError(f"{where}: {error}") from error


def build_target(ctx: typer.Context) -> Item:
    """The config of the target with the options that were given; of some kinds a bare name stands for its example."""
    from maskkit.configs.reading import config

    read, given = ctx.meta[_READ], ctx.meta.get(VALUES, {})
    with naming(read.where):
        try:
            return config(read.tree, **given)  # type: ignore[no-any-return]
        except ConfigError:
            example = None if given else _example_of(read.tree)
            if example is None:
                raise
            ctx.meta[VALUES] = example
            return config(read.tree, **example)  # type: ignore[no-any-return]


def tell_seeds(ctx: typer.Context, built: Item) -> None:
    """Say which seeds were drawn, so that the same can be had again."""
    from maskkit.configs.saving import to_dict

    read, options = ctx.meta[_READ], ctx.meta[VALUES]
    if not any(hasattr(cls, "seed") for cls, _ in read.items):
        return
    given = [*_seeds(read.tree), *_seeds(options)]
    drawn = [str(seed) for seed in dict.fromkeys(_seeds(to_dict(built))) if seed not in given]
    if len(drawn) == 1 and not given:
        typer.echo(f"seed {drawn[0]} was drawn; --seed {drawn[0]} gives the same again", err=True)
    elif drawn:
        typer.echo(f"drawn with seed {' and '.join(drawn)}; -o FILE.yaml keeps what was drawn", err=True)


def _seeds(node: Any) -> list[Any]:
    """The seeds in a config, and in those inside of it."""
    if isinstance(node, Mapping):
        below = [seed for value in node.values() for seed in _seeds(value)]
        return below if node.get("seed") is None else [node["seed"], *below]
    if isinstance(node, (list, tuple)) and node and not isinstance(node[0], (int, float, str)):
        return [seed for value in node for seed in _seeds(value)]
    return []


def _example_of(tree: Any) -> Mapping[str, Any] | None:
    """The parameters of the first sample, of an item that may stand for it; None for all else."""
    from maskkit.configs.describe import parameters
    from maskkit.registry.loader import registry

    if not isinstance(tree, Mapping) or set(tree) != {"type"}:
        return None
    try:
        cls = registry.find(tree["type"])
    except MaskkitError:
        return None
    needed = [parameter.name for parameter in parameters(cls) if parameter.required]
    if not cls.stands_for_example or not needed or not cls.samples:
        return None
    name = tree["type"]
    typer.echo(f"{name} needs {' and '.join(needed)}; this is the example of maskkit show {name}", err=True)
    return cls.samples[0]


def _stdin() -> Any:
    """JSON, or else YAML (which TOML is not: files are read by `check` and by `maskkit.load`)."""
    from maskkit.configs.files import parse_text

    text = sys.stdin.read()
    if not text.strip():
        raise ConfigError('nothing on stdin; give a config such as {"type": "causal", "seq_len": 64}')
    suffix = ".json" if text.lstrip().startswith(("{", "[")) else ".yaml"
    return parse_text(text, suffix, "stdin")


def _items(tree: Any) -> list[tuple[type[Item], Mapping[str, Any]]]:
    """The items of a tree: their classes, and what the tree gives them."""
    from maskkit.configs.reading import leaves
    from maskkit.registry.loader import registry

    found: list[tuple[type[Item], Mapping[str, Any]]] = []
    unknown: list[UnknownName] = []
    for node in leaves(tree):
        try:
            found.append((registry.find(node["type"]), node))
        except UnknownName as error:
            unknown.append(error)
    if unknown:
        raise unknown[0] if len(unknown) == 1 else config_error(list(dict.fromkeys(map(str, unknown))), "the config")
    return found


def _options(items: list[tuple[type[Item], Mapping[str, Any]]], taken: set[str]) -> list[TyperOption]:
    """One option for each parameter of the items; a parameter given in the tree is not offered again."""
    from maskkit.configs.describe import parameters

    found: dict[str, TyperOption] = {}
    for cls, node in items:
        for parameter in parameters(cls):
            if parameter.name not in found and parameter.name not in node:
                found[parameter.name] = _option(cls.name, parameter, taken)
    return list(found.values())


def _option(owner: str, parameter: Parameter, taken: set[str]) -> TyperOption:
    flag = "--" + parameter.name.replace("_", "-")
    about = "; ".join(filter(None, (parameter.help.rstrip("."), parameter.limits)))
    default = "required" if parameter.required else f"default: {parameter.default}"
    boolean = parameter.type == "True or False"
    name = "_" + parameter.name  # apart from the command's own parameters
    return TyperOption(
        param_decls=[f"{flag}/--no-{flag[2:]}" if boolean else flag, name],
        type=bool if boolean else str,
        is_flag=boolean,
        default=None,
        metavar=None if boolean else _METAVARS.get(parameter.type, "VALUE"),
        help=f"{about} [{owner}; {default}]",
        hidden=flag in taken,
    )


def _value(text: str) -> Any:
    """A literal, the content of an array file, or the text itself."""
    path = Path(text)
    if path.suffix in (".npy", ".json") and isfile(path):  # noqa: PTH113
        if path.suffix == ".npy":
            return _array(path)
        from maskkit.configs.files import read

        return read(path)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"true": True, "false": False, "null": None}.get(text, text)


def _array(path: Path) -> Any:
    from numpy.lib.format import read_array

    try:
        with path.open("rb") as file:
            return read_array(file, allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # NumPy's, of whatever stands in the file
        raise ConfigError(f"{path}: is no .npy file of numbers: {error}; numpy.save writes one") from error
