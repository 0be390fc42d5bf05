"""Which keys a rank needs and from whom: agreed upon by all ranks before the first exchange, then kept."""

import json
from collections.abc import MutableMapping
from hashlib import sha256
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.distributed as dist
from maskkit import Mask, Problem
from maskkit.errors import ConfigError
from maskkit.limits import Recent
from maskkit_kernel_context_parallel._exchange import Exchange
from maskkit_kernel_context_parallel._roll_call import RankError, Watch

_kept: MutableMapping[Any, Recent] = WeakKeyDictionary()
"""Exchanges of every group, while it lives. All its ranks keep and forget the same ones, or one would ask while others
exchange."""


def exchange_of(query: Any, key: Any, value: Any, mask: Any, shards: Any, group: Any, options: Any) -> Exchange:
    """The exchange for these arguments; the first time, all ranks compare what they were given.

    Raises:
        RankError: a rank was given another mask, other shards or shapes, refuses them, or is gone.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise ConfigError(
            "attention over ranks needs torch.distributed.init_process_group, and torchrun to start ranks"
        )
    group = group.get_group() if hasattr(group, "get_group") else group
    group = dist.group.WORLD if group is None else group
    shapes = _shapes(query, key, value, options)
    told = mask, shards.digest, str(shapes), tuple(map(tuple, (query.shape, key.shape))), str(query.device)
    found: Exchange = _kept.setdefault(group, Recent()).get(
        told, lambda: _agreed(query, key, value, mask, shards, group, shapes)
    )
    return found


def _shapes(query: Any, key: Any, value: Any, options: Any) -> dict[str, Any]:
    """What must be the same on all ranks: all but the number of rows."""
    arrays = dict(query=query, key=key, value=value)
    found: dict[str, Any] = {n: [*x.shape[:2], *x.shape[3:], str(x.dtype), x.requires_grad] for n, x in arrays.items()}
    return found | options | {"gradients": torch.is_grad_enabled()}


def _agreed(query: Any, key: Any, value: Any, mask: Any, shards: Any, group: Any, shapes: Any) -> Exchange:
    watch = Watch(group)
    takes, refusal, wanted, rows = [0] * watch.size, None, np.empty(0, np.int64), None
    try:
        _check(query, key, mask, shards, watch)
        rows = shards.rows(watch.rank)
        wanted = _wanted(mask, shards, rows, watch.rank)
        owner = shards.ranks[wanted]
        wanted = wanted[np.argsort(owner, kind="stable")]
        takes = np.bincount(owner, minlength=watch.size).tolist()
    except (ConfigError, TypeError) as error:
        refusal = str(error)
    mine = {"mask": _hash(mask), "shards": shards.digest, "shapes": shapes, "takes": takes, "refusal": refusal}
    told: list[Any] = [None] * watch.size
    with watch:
        dist.all_gather_object(told, mine, group=group)
    _compare(told)
    gives = [other["takes"][watch.rank] for other in told]
    asked = torch.empty(sum(gives), dtype=torch.int64, device=query.device)
    with watch:
        want = torch.from_numpy(wanted).to(query.device)
        dist.all_to_all_single(asked, want, gives, takes, group=group)
    give = torch.searchsorted(torch.from_numpy(rows).to(query.device), asked)
    own, fetched = (_part(mask, rows, keys) for keys in (rows, np.sort(wanted)))
    exchange = Exchange(give, gives, takes, want.argsort(), (own, fetched), watch)
    exchange.nbytes = 1024 + 32 * max(sum(one["takes"]) for one in told)  # on all ranks the same
    return exchange


def _part(mask: Mask | None, rows: Any, keys: Any) -> Mask | None:
    return mask.at(query=rows, key=keys) if mask is not None and len(rows) and len(keys) else None


def _check(query: Any, key: Any, mask: Any, shards: Any, watch: Watch) -> None:
    if shards.world_size != watch.size:
        raise ConfigError(f"shards are for {shards.world_size} ranks, and the group has {watch.size}")
    rows = len(shards.rows(watch.rank))
    if query.ndim != 4 or query.shape[2] != rows or key.shape[2] != rows:
        raise ConfigError(
            f"query, key and value must be the {rows:,} rows of shards.rows({watch.rank}), got shapes "
            f"{tuple(query.shape)} and {tuple(key.shape)}"
        )
    if mask is not None and tuple(mask.shape[-2:]) != (shards.length, shards.length):
        raise ConfigError(f"{mask!r} must be of all {shards.length:,} rows that the shards are of, got {mask.shape}")


def _wanted(mask: Any, shards: Any, rows: Any, rank: int) -> Any:
    """Keys of others that any of the rows sees, in any sample or head: ascending."""
    needed = np.ones(shards.length, np.bool_)
    if mask is not None and len(rows):
        part = mask.at(query=rows)
        own = dict(zip(part.axes, part.shape, strict=True))
        lead = own.get("batch", 1), own.get("head", 1)
        sizes = dict(queries=len(rows), keys=shards.length, head_dim=1, value_dim=1)
        planes = Problem(mask=part, batch=lead[0], heads=lead[1], kv_heads=lead[1], **sizes).planes()
        if planes is None:
            raise ConfigError(f"{mask!r} has no few intervals per row by which a rank could know the keys it needs")
        edges = np.zeros(shards.length + 1, np.int64)
        for spans in planes[0]:
            for lo, hi in spans:
                edges += np.bincount(lo, minlength=len(edges)) - np.bincount(hi, minlength=len(edges))
        needed = edges.cumsum()[:-1] > 0
    return np.flatnonzero(needed & (shards.ranks != rank)) if len(rows) else np.empty(0, np.int64)


def _hash(mask: Any) -> str:
    """The same for equal masks, in every process."""
    content = None if mask is None else [type(mask).__qualname__, mask.get_config()]
    return sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def _compare(told: list[Any]) -> None:
    """Rank by rank against what most were given, or rank 0 where there is no most."""
    refused = [f"rank {rank}: {one['refusal']}" for rank, one in enumerate(told) if one["refusal"]]
    for what in ("mask", "shards", "shapes"):
        given = [json.dumps(one[what], default=str) for one in told]
        usual = max(given, key=lambda one: (given.count(one), one == given[0]))
        others = [rank for rank, one in enumerate(given) if one != usual]
        if others:
            detail = f": {given[others[0]]} against {usual}" if what == "shapes" else ""
            ranks = ", ".join(map(str, others))
            refused.append(f"rank {ranks} has other {what} than rank {given.index(usual)}{detail}")
    if refused:
        raise RankError("ranks do not agree on the attention: " + "; ".join(refused))
