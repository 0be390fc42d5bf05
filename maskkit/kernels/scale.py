"""What attention costs where several ranks hold the sequence: plans of `maskkit.shards` against ring and all-gather."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from attrs import frozen
from maskkit.kernels.shards import DEALS, Machine, Shards, shards
from maskkit.limits import human_bytes
from maskkit.masks.mask import Mask


@frozen
class Scale:
    """One layer, forward, over so many ranks.

    Attributes:
        ranks: number of them.
        plan: of `maskkit.shards`, "ring" or "all-gather".
        balance: area of the worst rank over the mean.
        keys: that the worst rank receives.
        bytes: that all ranks receive together.
        messages: that they come in.
        memory: bytes of the keys and values that a rank holds at once, at most.
        seconds: of the slowest rank, by `Machine`.
    """

    ranks: int
    plan: str
    balance: float
    keys: int
    bytes: int
    messages: int
    memory: int
    seconds: float


def scales(mask: Mask, ranks: int, machine: Machine | None = None) -> Iterator[Scale]:
    """The named plans with the keys that spans need; ring over contiguous rows, all-gather over head-tail ones."""
    machine = machine or Machine()
    dealt: dict[str, Shards] = {plan: shards(mask, ranks, plan=plan) for plan in (*DEALS, "pareto")}
    for plan, made in dealt.items():
        fetched = made.fetched(mask).tolist()
        own = np.bincount(made.ranks, minlength=ranks).tolist()
        memory = max(map(sum, zip(fetched, own, strict=True)))
        seconds = max(map(machine.seconds, made.areas, fetched, made.sources))
        name = plan if plan in (made.plan, "by_area") else f"{plan}: {made.plan}"
        yield _scale(ranks, name, made, max(fetched), sum(fetched), made.messages, memory, seconds, machine)
    each = -(-mask.shape[-1] // ranks)
    others = mask.shape[-1] - each
    for name, plan, held, overlap in (("ring", "contiguous", 3 * each, True), ("all-gather", "head_tail", 0, False)):
        made = dealt[plan]
        seconds = machine.seconds(max(made.areas), others, ranks - 1, overlap)
        memory = held or mask.shape[-1]
        yield _scale(ranks, name, made, others, others * ranks, ranks * (ranks - 1), memory, seconds, machine)


def _scale(
    ranks: int, plan: str, made: Shards, keys: int, total: int, messages: int, held: int, seconds: float, of: Machine
) -> Scale:
    return Scale(ranks, plan, made.balance, keys, total * of.key_bytes, messages, held * of.key_bytes, seconds)


def table(found: list[Scale]) -> list[tuple[str, ...]]:
    """A line of text for each, under a head."""
    head = ("ranks", "plan", "balance", "keys a rank", "bytes", "messages", "memory", "time")
    return [head, *map(_line, found)]


def _line(one: Scale) -> tuple[str, ...]:
    return (
        f"{one.ranks:,}",
        one.plan,
        f"{one.balance:.3f}",
        f"{one.keys:,}",
        human_bytes(one.bytes),
        f"{one.messages:,}",
        human_bytes(one.memory),
        f"{one.seconds * 1e3:,.2f} ms",
    )
