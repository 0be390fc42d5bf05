"""The command `maskkit audit`; what it needs is imported when it runs."""

from __future__ import annotations

import inspect
import json
import logging
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from maskkit import ConfigError
from maskkit.outputs import write_figure, written

log = logging.getLogger("maskkit.audit")
app = typer.Typer()

SUFFIXES = (".html", ".json", ".png", ".txt")


@app.command("audit")
def audit(
    factory: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FACTORY", help="A function without arguments that gives a model, or (model, inputs)."
        ),
    ],
    seq_len: Annotated[
        int, typer.Option("--seq-len", min=1, help="Tokens of the inputs, where the factory gives none.")
    ] = 64,
    expect: Annotated[
        str | None,
        typer.Option("--expect", metavar="EXPR", help='The wanted mask: "causal & sliding_window(window_size=8)".'),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the report to this file: html, json, png or txt.")
    ] = None,
) -> None:
    """Show what every attention of a model really allows, its name, and what leaks; exits with 1 if something does."""
    if output is not None and output.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"{output}: unknown suffix {output.suffix!r}; use one of {', '.join(SUFFIXES)}")
    from maskkit_audit._run import audit as run

    given = {**({"expect": expect} if expect else {})}
    report = run(**{**_arguments(_call(factory, seq_len), seq_len), **given})
    if output is None:
        typer.echo(report.text())
    else:
        write(report, output)
        typer.echo(f"{report.title}: {report.verdict()}\nwrote {output}", err=True)
    if report.leaks:
        raise typer.Exit(1)


def write(report: Any, output: Path) -> None:
    """The report in the form of the suffix."""
    suffix = output.suffix.lower()
    if suffix == ".png":
        write_figure(output, report.figure(), dpi=120)
        return
    made = {".html": report.html, ".txt": report.text, ".json": lambda: json.dumps(report.to_dict(), indent=2)}
    text = made[suffix]().rstrip("\n") + "\n"
    with written(output) as file:
        file.write(text.encode())


def _call(factory: str, seq_len: int) -> Any:
    """What the function gives that `MODULE:FACTORY` names."""
    name, _, attribute = factory.partition(":")
    if not name or not attribute:
        raise ConfigError(f"{factory!r} must be MODULE:FACTORY, such as my_package.models:tiny")
    if "" not in sys.path:
        sys.path.insert(0, "")  # as `python -m` does
    try:
        module = import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigError(f"no module named {name!r}; run maskkit where it can be imported") from error
    function: Any = module
    for part in attribute.split("."):
        if not hasattr(function, part):
            known = ", ".join(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))
            raise ConfigError(f"module {name!r} has no {attribute!r}; it has {known or 'no function'}")
        function = getattr(function, part)
    if not callable(function) or (hasattr(function, "named_modules") and not isinstance(function, type)):
        return function  # a model, as it stands in the module
    parameters = inspect.signature(function).parameters.values()
    needed = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    needed += [p.name for p in parameters if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
    if set(needed) - {"seq_len"}:
        raise ConfigError(
            f"{factory} needs {', '.join(needed)}; give a function without arguments (or with seq_len alone), such as "
            f"one that calls {attribute}(...) with what you mean"
        )
    return function(seq_len=seq_len) if any(p.name == "seq_len" for p in parameters) else function()


def _arguments(made: Any, seq_len: int) -> dict[str, Any]:
    """What `audit` takes: a mapping of its arguments, a model and its inputs, or a model that inputs are made for."""
    if isinstance(made, dict) and "model" in made:
        return made
    if isinstance(made, tuple) and len(made) == 2:
        return dict(model=made[0], inputs=made[1])
    return dict(model=made, inputs=_inputs_for(made, seq_len))


def _inputs_for(model: Any, seq_len: int) -> Any:
    """One text of random tokens, for models of transformers; others are given with their inputs."""
    vocabulary = getattr(getattr(model, "config", None), "vocab_size", None)
    if not isinstance(vocabulary, int):
        raise ConfigError(
            f"which inputs {type(model).__name__} takes is not known; let the function give (model, inputs), with "
            "inputs a tensor, a tuple, or a mapping of keyword arguments"
        )
    import torch

    ids = torch.randint(vocabulary, (1, seq_len), generator=torch.Generator().manual_seed(0))
    inputs = dict(input_ids=ids)
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = ids
    return inputs
