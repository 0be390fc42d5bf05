"""What a command is about: a name, an expression, or a config on stdin; its parameters become real options."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperOption
from maskkit.errors import ConfigError, MaskkitError

if TYPE_CHECKING:
    from maskkit.configs.describe import Parameter
    from maskkit.registry.item import Item

_OPTIONS = "maskkit.options"
VALUES = "maskkit.values"
"""Where a context keeps the options of items that were given."""
_TREE = "maskkit.tree"
_METAVARS = {"an integer": "INT", "a number": "FLOAT", "a string": "TEXT"}


class TargetCommand(TyperCommand):
    """A command whose first argument is a target: looks at it before parsing, and adds its parameters as options."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        target = self._target(args)
        nodes: list[tuple[type[Item], Mapping[str, Any]]] = []
        if target is not None:
            try:
                ctx.meta[_TREE] = read_target(target)
                nodes = _nodes(ctx.meta[_TREE])
            except MaskkitError:
                if any(help_option in args for help_option in ctx.help_option_names):
                    raise
                # The command itself will meet the same error, and says it; its options cannot be known.
                ctx.ignore_unknown_options = ctx.allow_extra_args = True
        for cls, _ in nodes:
            if cls.no_picture:
                raise ConfigError(f"{cls.name} {cls.no_picture.replace('NAME', cls.name)}")
        ctx.meta[_OPTIONS] = _options(nodes, {name for p in self.params for name in p.opts})
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

    def _target(self, args: list[str]) -> str | None:
        """The first argument that is neither an option nor the value of one; options of items count as taking one."""
        flags = {name for p in self.params for name in (*p.opts, *p.secondary_opts) if getattr(p, "is_flag", False)}
        flags |= {"-h", "--help"}
        skip = False
        for arg in args:
            if skip:
                skip = False
            elif arg == "-" or not arg.startswith("-"):
                return arg
            else:
                skip = arg not in flags and "=" not in arg
        return None


def read_target(target: str) -> Any:
    """The tree of mappings that a target stands for; a name of several kinds means the one that has a picture."""
    from maskkit.configs.expressions import tree
    from maskkit.registry.loader import registry

    found = _stdin() if target == "-" else tree(target)
    if not isinstance(found, Mapping) or "type" not in found:
        return found
    offered = registry.offered_as(found["type"])
    if len(offered) < 2:
        return found
    drawn = [name for name in offered if not registry.kind(name.partition(".")[0]).base.no_picture]
    return {**found, "type": drawn[0]} if len(drawn) == 1 else found


def build_target(ctx: typer.Context, target: str) -> Item:
    """The config of the target with the options that were given; of some kinds a bare name stands for its example."""
    from maskkit.configs.reading import config

    tree = ctx.meta[_TREE] if _TREE in ctx.meta else read_target(target)
    given = ctx.meta.get(VALUES, {})
    try:
        found: Item = config(tree, **given)
    except ConfigError:
        example = None if given else _example_of(tree)
        if example is None:
            raise
        found = config(tree, **example)
    return found


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


def _nodes(tree: Any) -> list[tuple[type[Item], Mapping[str, Any]]]:
    """The items of a tree: their classes, and what the tree gives them."""
    from maskkit.configs.reading import leaves
    from maskkit.registry.loader import registry

    return [(registry.find(node["type"]), node) for node in leaves(tree)]


def _options(nodes: list[tuple[type[Item], Mapping[str, Any]]], taken: set[str]) -> list[TyperOption]:
    """One option for each parameter of the items; a parameter given in the tree is not offered again."""
    from maskkit.configs.describe import parameters

    found: dict[str, TyperOption] = {}
    for cls, node in nodes:
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
    if path.suffix in (".npy", ".json") and path.is_file():
        if path.suffix == ".npy":
            import numpy as np

            return np.load(path, allow_pickle=False)
        from maskkit.configs.files import read

        return read(path)
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return {"true": True, "false": False, "null": None}.get(text, text)
