"""Which kernel computes attention under a mask, and at what cost: `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from maskkit.cli.targets import Target, TargetCommand, build_target
from maskkit.errors import ConfigError

if TYPE_CHECKING:
    from maskkit.masks.mask import AttentionMask


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("plan", cls=TargetCommand)(plan)


def plan(
    ctx: typer.Context,
    target: Target,
    heads: Annotated[int, typer.Option("--heads", min=1, help="Heads of the query.")] = 8,
    head_dim: Annotated[int, typer.Option("--head-dim", min=1, help="Width of a head.")] = 64,
    kv_heads: Annotated[
        int | None, typer.Option("--kv-heads", min=1, help="Heads of key and value.", show_default="--heads")
    ] = None,
    batch: Annotated[int, typer.Option("--batch", min=1, help="Samples, where the mask has not several.")] = 1,
    training: Annotated[bool, typer.Option("--training", help="With the backward pass.")] = False,
    library: Annotated[str, typer.Option("--library", help="torch, jax or numpy.")] = "torch",
    device: Annotated[str, typer.Option("--device", help="As the library writes it.")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", help="Of query, key and value.")] = "float32",
    dropout: Annotated[float, typer.Option("--dropout", help="Share of weights that are dropped.")] = 0.0,
    kernel: Annotated[str | None, typer.Option("--kernel", help="Ask this one only.")] = None,
    ranks: Annotated[
        str | None, typer.Option("--ranks", help="Instead: what several ranks exchange, for numbers such as 8,64.")
    ] = None,
) -> None:
    """Say which kernel `maskkit.attend` takes for a mask, and what it and the others cost."""
    from maskkit.kernels.attend import plan_of
    from maskkit.kernels.problem import Problem
    from maskkit.masks.axes import sizes
    from maskkit.masks.mask import AttentionMask

    mask = build_target(ctx)
    if not isinstance(mask, AttentionMask):
        raise ConfigError(f"{mask!r} is no mask of queries and keys, and there is no attention under it")
    if ranks is not None:
        _over_ranks(mask, ranks, heads, heads if kv_heads is None else kv_heads, head_dim)
        return
    own = {"batch": batch, "head": heads} | {axis: size for axis, size in sizes(mask).items() if size > 1}
    shares = own["head"] if kv_heads is None else kv_heads
    if own["head"] % shares:
        raise ConfigError(f"--heads must be a multiple of --kv-heads, got {own['head']} and {shares}")
    problem = Problem(
        mask=mask,
        library=library,
        device=device,
        dtype=dtype,
        batch=own["batch"],
        heads=own["head"],
        kv_heads=shares,
        queries=mask.shape[-2],
        keys=mask.shape[-1],
        head_dim=head_dim,
        value_dim=head_dim,
        training=training,
        dropout_p=dropout,
    )
    typer.echo(str(plan_of(problem, kernel)))


def _over_ranks(mask: AttentionMask, ranks: str, heads: int, kv_heads: int, head_dim: int) -> None:
    from maskkit.kernels.scale import scales, table
    from maskkit.kernels.shards import Machine

    numbers = ranks.split(",")
    if not all(number.strip().isdecimal() and int(number) > 0 for number in numbers):
        raise ConfigError(f"--ranks must be positive numbers, such as 8,64,1024, got {ranks!r}")
    machine = Machine(heads=heads, kv_heads=kv_heads, head_dim=head_dim)
    rows = table([scale for number in numbers for scale in scales(mask, int(number), machine)])
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    typer.echo(f"{mask!r}\nOne layer, forward, in bfloat16: {machine}")
    for row in rows:
        typer.echo(
            "  ".join(c.ljust(w) if i == 1 else c.rjust(w) for i, (c, w) in enumerate(zip(row, wide, strict=True)))
        )
