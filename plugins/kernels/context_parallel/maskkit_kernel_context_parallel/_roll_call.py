"""Which rank is gone or late, when an exchange fails: those who are there say so in the store of the process group."""

import time
from typing import Any
from weakref import ref

import torch.distributed as dist
from maskkit.errors import MaskkitError

GRACE = 5.0
"""Seconds in which the others must have noticed too, at the least."""


class RankError(MaskkitError, RuntimeError):
    """A rank of the group is gone, late, or means another attention."""


class Watch:
    """Around every call of a group that communicates: its failure becomes an error that names the rank.

    Args:
        group: a process group; None is the default group.
    """

    def __init__(self, group: Any = None) -> None:
        # A group that somebody still holds outlives destroy_process_group, and its threads abort the process that ends.
        self._group = ref(dist.group.WORLD if group is None else group)
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)

    @property
    def group(self) -> Any:
        """The process group."""
        return self._group()

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, RuntimeError) and not isinstance(error, RankError):
            raise RankError(self._missing(str(error).splitlines()[0])) from error

    def _missing(self, why: str) -> str:
        try:
            missing = self._roll_call()
        except RuntimeError:  # the store is gone with the rank that kept it
            return (
                "rank 0, or who kept the store of the process group, is gone: it died, or gave up on "
                f"rank {self.rank}, which is this one, if that came later than the time-out of the group: {why}"
            )
        if self.rank in missing:
            return f"rank {self.rank}, which is this one, came later than the time-out of the group; the others gave up"
        names = ", ".join(map(str, missing))
        if missing:
            return f"rank {names} is gone, or later than the time-out of the group (this is rank {self.rank}): {why}"
        return f"the exchange failed on all ranks, which are all there (this is rank {self.rank}): {why}"

    def _roll_call(self) -> list[int]:
        """Ranks that did not notice: the first to find out writes it down, and all others read that."""
        store = dist.distributed_c10d._get_default_store()
        name = f"maskkit/{dist.distributed_c10d._get_process_group_name(self.group)}"
        if not store.check([f"{name}/gone"]):
            store.set(f"{name}/{self.rank}", "here")
            missing = self._wait(store, [f"{name}/{rank}" for rank in range(self.size)], f"{name}/gone")
            store.compare_set(f"{name}/gone", "", ",".join(map(str, missing)) or "none")
        text = store.get(f"{name}/gone").decode()
        gone = [] if text == "none" else [int(rank) for rank in text.split(",")]
        store.set(f"{name}/{self.rank}/read", "")
        # Whoever ends now may take the store along, before others have read it.
        self._wait(store, [f"{name}/{rank}/read" for rank in range(self.size) if rank not in gone])
        return gone

    def _wait(self, store: Any, keys: list[str], or_else: str | None = None) -> list[int]:
        """Which of the keys are not there, when all are, or the other one is, or after some time."""
        deadline = time.monotonic() + GRACE
        while True:
            absent = [i for i, key in enumerate(keys) if not store.check([key])]
            if not absent or (or_else and store.check([or_else])) or time.monotonic() > deadline:
                return absent
            time.sleep(0.05)
