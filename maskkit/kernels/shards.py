"""Shards: which rows of a sequence each of several ranks holds, dealt out by what masks allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from hashlib import sha256
from typing import Any

import numpy as np
import numpy.typing as npt
from attrs import field, frozen
from maskkit.errors import ConfigError
from maskkit.masks.axes import check_attention
from maskkit.masks.blocks import block_map, disjoint
from maskkit.masks.mask import Mask
from maskkit.masks.rows import iterate_rows, plane_of, planes
from maskkit.masks.spans import Spans
from maskkit.validators import is_integer, shown

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

SMALLEST, LARGEST = 128, 4096
"""Rows of a chunk, where the planner chooses."""
EVEN = 1.01
"""It takes the largest chunks with which the worst rank is so near to the mean, or the smallest."""

NEAR = 1.01
"""Plans so near to the quickest are as quick; of those "pareto" takes the one with the fewest bytes."""


@frozen(kw_only=True)
class Machine:
    """What a step costs, forward, one layer: the one place of the constants that plans are compared by.

    Attributes:
        flops: floating-point operations a second that attention reaches on a rank.
        bandwidth: bytes a second that a rank receives.
        latency: seconds a message.
        heads, kv_heads, head_dim, itemsize: of the model; bytes of a number.
    """

    flops: float = 400e12
    bandwidth: float = 50e9
    latency: float = 10e-6
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    itemsize: int = 2

    @property
    def key_bytes(self) -> int:
        """Bytes of a key with its value."""
        return 2 * self.kv_heads * self.head_dim * self.itemsize

    def seconds(self, pairs: float, keys: float, messages: float, overlap: bool = True) -> float:
        """Of a rank that computes so many pairs of every head and receives so many keys."""
        compute = 4 * self.head_dim * self.heads * pairs / self.flops
        exchange = keys * self.key_bytes / self.bandwidth + messages * self.latency
        return max(compute, exchange) if overlap else compute + exchange


@frozen(kw_only=True)
class Shards:
    """Rows dealt out to ranks in chunks. Plain data: `to_dict()`, `Shards.from_dict(data)`.

    Attributes:
        length: rows, which are keys too.
        world_size: ranks.
        chunk: rows of a chunk; the last may have fewer.
        plan: by which plan they were dealt out.
        owners: the rank of every chunk, in order.
        areas: mean pairs that masks allow, of every rank, times layers.
    """

    length: int
    world_size: int
    chunk: int
    plan: str
    owners: tuple[int, ...] = field(repr=False, converter=tuple)
    areas: tuple[float, ...] = field(repr=False, converter=tuple)
    _traffic: Any = field(repr=False, eq=False)  # received and sources, or what finds them when they are asked for

    def rows(self, rank: int) -> Ints:
        """The positions whose queries, keys and values a rank holds: int64, ascending.

        Raises:
            ConfigError: there is no such rank.
        """
        if not is_integer(rank) or not 0 <= rank < self.world_size:
            raise ConfigError(f"rank must be in [0, {self.world_size}), got {shown(rank)}")
        return np.flatnonzero(self.ranks == rank)

    @cached_property
    def ranks(self) -> Ints:
        """The rank of every row: int64 (length,)."""
        return np.repeat(np.asarray(self.owners, np.int64), self.chunk)[: self.length]

    @cached_property
    def permutation(self) -> Ints:
        """All rows, those of rank 0 first: int64 (length,), the order in which ranks hold them."""
        return np.argsort(self.ranks, kind="stable")

    @cached_property
    def traffic(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Keys that every rank receives in whole chunks, and from how many ranks: over all layers, forward."""
        found = self._traffic() if callable(self._traffic) else self._traffic
        received, sources = (tuple(map(int, part)) for part in found)
        return received, sources

    @property
    def received(self) -> tuple[int, ...]:
        """Keys that every rank receives in whole chunks, over all layers, forward."""
        return self.traffic[0]

    @property
    def sources(self) -> tuple[int, ...]:
        """From how many ranks, over all layers."""
        return self.traffic[1]

    def fetched(self, mask: Mask) -> Ints:
        """Keys of others that each rank's rows see under one mask, in any sample or head: int64 (world_size,).

        These are what attention over ranks sends; `received` counts whole chunks.
        """
        width, owners = self.length + 1, self.ranks
        found = []
        for _, part, allowed in iterate_rows(mask):
            spans = allowed if isinstance(allowed, Spans) else Spans.from_bool(allowed)
            rank = owners[part]
            for lo, hi in spans:
                some = lo < hi
                some[1:] &= (rank[1:] != rank[:-1]) | (lo[1:] != lo[:-1]) | (hi[1:] != hi[:-1])
                found.append(np.stack([rank[some], lo[some], hi[some]]).astype(np.int64))
        columns = np.concatenate(found, axis=1)
        rank, lo, hi = disjoint(columns[0], columns[1], columns[2], width)
        own = np.sort(owners * width + np.arange(self.length))
        held = np.searchsorted(own, rank * width + hi) - np.searchsorted(own, rank * width + lo)
        return np.bincount(rank, hi - lo - held, self.world_size).astype(np.int64)

    @property
    def balance(self) -> float:
        """Area of the worst rank over the mean; 1 is even."""
        mean = sum(self.areas) / self.world_size
        return max(self.areas) / mean if mean else 1.0

    @property
    def bytes(self) -> int:
        """Bytes that all ranks receive, forward, over all layers, where a key and its value are `Machine.key_bytes`."""
        return sum(self.received) * Machine().key_bytes

    @property
    def messages(self) -> int:
        """Messages that they come in: pairs of ranks, over all layers."""
        return sum(self.sources)

    @cached_property
    def digest(self) -> str:
        """The same for equal shards, in every process."""
        return sha256(repr((self.length, self.world_size, self.chunk, self.owners)).encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        names = ("length", "world_size", "chunk", "plan")
        return {name: getattr(self, name) for name in names} | {
            "owners": list(self.owners),
            "areas": list(self.areas),
            "traffic": [list(part) for part in self.traffic],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shards:
        """The shards of `to_dict`."""
        return cls(**data)


def shards(
    masks: Mask | Mapping[Mask, int], world_size: int, chunk: int | None = None, plan: str = "by_area"
) -> Shards:
    """Deal the rows of a sequence out to ranks, by what masks allow.

    Args:
        masks: one square attention mask, or the masks of a model with the number of layers that have each.
        world_size: number of ranks.
        chunk: rows that stay together; None chooses a power of two in 128 .. 4,096.
        plan: "by_area" gives every rank as many chunks and as much allowed area, "contiguous" a run of them,
            "head_tail" one from the front and one from the back, "pareto" that which `Machine` says is quickest, of
            these and of areas dealt out in longer runs.

    Raises:
        ConfigError: a mask is not square or has its values elsewhere, lengths differ, or an argument is out of range.
    """
    layers = dict(masks) if isinstance(masks, Mapping) else {masks: 1}
    length = _check(layers, world_size, chunk, plan)
    size = SMALLEST if chunk is None else chunk
    area = sum((_areas(mask, size) * count for mask, count in layers.items()), np.zeros(-(-length // size)))
    if chunk is None:
        size, area = _coarsest(area, world_size, plan)
    candidates = {plan: DEALS[plan](area, world_size)} if plan != "pareto" else _candidates(area, world_size)
    made = [
        Shards(
            length=length,
            world_size=world_size,
            chunk=size,
            plan=name,
            owners=owners.tolist(),
            areas=np.bincount(owners, area, world_size).tolist(),
            traffic=partial(_traffic, layers, owners, length, world_size, size),
        )
        for name, owners in candidates.items()
    ]
    if len(made) == 1:
        return made[0]
    seconds = [_seconds(one) for one in made]
    quick = [one for one, took in zip(made, seconds, strict=True) if took <= NEAR * min(seconds)]
    return min(quick, key=lambda one: sum(one.received))


def _check(layers: dict[Mask, int], world_size: int, chunk: int | None, plan: str) -> int:
    for name, value in (("world_size", world_size), ("chunk", 1 if chunk is None else chunk)):
        if not is_integer(value) or value < 1:
            raise ConfigError(f"{name} must be a positive integer, got {shown(value)}")
    if plan not in (*DEALS, "pareto"):
        raise ConfigError(f"plan must be one of {', '.join((*DEALS, 'pareto'))}, got {shown(plan)}")
    if not layers:
        raise ConfigError("masks must have one at least, got none")
    for mask, count in layers.items():
        if not isinstance(mask, Mask):
            raise TypeError(f"masks must be maskkit masks, got {shown(mask)}")
        check_attention(mask)
        if mask.shape[-2] != mask.shape[-1]:
            raise ConfigError(f"a rank holds keys of its own queries; {mask!r} has {mask.shape[-2:]} of them")
        if not mask.on_host:
            raise ConfigError(f"{mask!r} has its values on a device; make it of host arrays to plan by it")
        if not is_integer(count) or count < 1:
            raise ConfigError(f"masks must have a positive number of layers each, got {shown(count)} of {mask!r}")
    lengths = {mask.shape[-1] for mask in layers}
    if len(lengths) > 1:
        raise ConfigError(f"masks must have one length, got {sorted(lengths)}")
    return int(lengths.pop())


def _areas(mask: Mask, chunk: int) -> Floats:
    """Pairs allowed in every chunk of rows, as the mean over samples and heads."""
    times = np.bincount(plane_of(mask).ravel())
    weights = dict(zip(planes(mask), (times / times.sum()).tolist(), strict=True))
    found = np.zeros(-(-mask.shape[-2] // chunk))
    for plane, part, rows in iterate_rows(mask, chunk):
        counts = rows.counts() if isinstance(rows, Spans) else rows.sum(axis=-1)
        sums = np.add.reduceat(counts, np.arange(0, len(counts), chunk))
        first = part.start // chunk
        found[first : first + len(sums)] += weights[plane] * sums
    return found


def _coarsest(area: Floats, world_size: int, plan: str) -> tuple[int, Floats]:
    """The largest chunks that are even enough, from areas of the smallest ones."""
    size = LARGEST
    while True:
        coarse = np.add.reduceat(area, np.arange(0, len(area), size // SMALLEST))
        if size == SMALLEST:
            return size, coarse
        if len(coarse) >= 2 * world_size:
            loads = np.bincount(DEALS.get(plan, _by_area)(coarse, world_size), coarse, world_size)
            if loads.max() <= EVEN * loads.mean():
                return size, coarse
        size //= 2


# -- plans: the rank of every chunk ------------------------------------------------------------------------------------


def _contiguous(area: Floats, world_size: int) -> Ints:
    return np.arange(len(area)) * world_size // len(area)


def _head_tail(area: Floats, world_size: int) -> Ints:
    piece = np.arange(len(area)) * 2 * world_size // len(area)
    return np.minimum(piece, 2 * world_size - 1 - piece)


def _by_area(area: Floats, world_size: int) -> Ints:
    """Round by round every rank takes one chunk, of those left the largest go to whoever has least."""
    order = np.argsort(-area, kind="stable")
    owners, loads = np.empty(len(area), np.int64), np.zeros(world_size)
    for start in range(0, len(area), world_size):
        part = order[start : start + world_size]
        ranks = np.argsort(loads, kind="stable")[: len(part)]
        owners[part] = ranks
        loads[ranks] += area[part]
    return owners


DEALS: dict[str, Callable[[Floats, int], Ints]] = {
    "by_area": _by_area,
    "contiguous": _contiguous,
    "head_tail": _head_tail,
}


def _candidates(area: Floats, world_size: int) -> dict[str, Ints]:
    """The named plans, and areas dealt out in runs of 2, 4, ... chunks."""
    found, run = {name: deal(area, world_size) for name, deal in DEALS.items()}, 2
    while len(area) >= 2 * run * world_size:
        runs = np.add.reduceat(area, np.arange(0, len(area), run))
        found[f"by_area in runs of {run}"] = np.repeat(_by_area(runs, world_size), run)[: len(area)]
        run *= 2
    return found


# -- what a plan costs -------------------------------------------------------------------------------------------------


def _touched(mask: Mask, chunk: int) -> Spans:
    """Chunks of keys that each chunk of rows touches, in any sample or head: spans over (planes, chunks)."""
    touched = block_map(mask, chunk).touched
    return touched.reshape((-1, touched.shape[-1]))


def _traffic(layers: dict[Mask, int], owners: Ints, length: int, world_size: int, size: int) -> list[Ints]:
    """Keys of others, in whole chunks, that every rank needs over all layers; and from how many ranks."""
    total = np.zeros((2, world_size), np.int64)
    for mask, count in layers.items():
        total += count * np.stack(_of_layer(_touched(mask, size), owners, length, world_size, size))
    return list(total)


def _of_layer(spans: Spans, owners: Ints, length: int, world_size: int, size: int) -> tuple[Ints, Ints]:
    """The same of one layer."""
    chunks = len(owners)
    width = chunks + 1
    edges = np.zeros(world_size * width, np.int32)
    first = owners * width
    for lo, hi in spans:  # (planes, chunks)
        edges += np.bincount((first + lo).ravel(), minlength=len(edges)).astype(np.int32)
        edges -= np.bincount((first + hi).ravel(), minlength=len(edges)).astype(np.int32)
    needed = edges.reshape(world_size, width).cumsum(axis=1, dtype=np.int32)[:, :-1] > 0
    needed[owners, np.arange(chunks)] = False
    keys = needed.sum(axis=1) * size - needed[:, -1] * (chunks * size - length)
    order = np.argsort(owners, kind="stable")
    _, starts = np.unique(owners[order], return_index=True)  # ranks without rows hold nothing
    sources = np.logical_or.reduceat(needed[:, order], starts, axis=1).sum(axis=1)
    return keys.astype(np.int64), sources.astype(np.int64)


def _seconds(made: Shards) -> float:
    """Of the slowest rank."""
    machine = Machine()
    ranks = zip(made.areas, made.received, made.sources, strict=True)
    return max(machine.seconds(*rank) for rank in ranks)
