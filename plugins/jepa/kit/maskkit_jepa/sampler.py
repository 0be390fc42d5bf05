"""What every strategy's sampler can do: draw by sample, by step, or one batch after the other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from maskkit import Strategy, build
from maskkit.arrays import fetched
from maskkit.errors import ConfigError, did_you_mean
from maskkit.validators import is_integer
from maskkit_jepa.batch.batch import batches, concatenate
from maskkit_jepa.batch.shown import StrategyMeasures, StrategyPicture
from maskkit_jepa.randomness import Array, Bits
from maskkit_jepa.randomness import keys as sample_keys

_CHUNK = 2048
"""Samples that are drawn at a time: larger batches fall out of the processor's cache."""
_PICTURED, _MEASURED = 4, 1000
"""Samples that pictures show, and over which figures are taken."""
_AHEAD, _AHEAD_BYTES = 1024, 8 * 2**20
"""Samples that calls for small batches draw at once, and the bytes of masks; a batch that is kept keeps them all."""


class Sampler:
    """Draws masks. Subclasses define `draw`, set `config_class`, and prepare their tables in `prepare`.

    The masks of a sample are a function of (seed, epoch, sample id) alone, for strategies with a schedule also of the
    step. Calling the sampler takes the next ids in turn; that cursor is its only state.

    Class attributes:
        config_class: the strategy's config, so that the sampler can be made from its parameters too.
        disjoint: whether context and targets of a sample never share a token.
        least_context: tokens that every context has at least.
        least_target: tokens that every target has at least.
        reads_ahead: whether calls may draw samples of later calls too; not where masks depend on the step.
        takes: names of what callers may hand over besides, such as scores: arrays with a row for each sample.
    """

    config_class: ClassVar[type[Strategy]]
    disjoint: bool = True
    least_context: int = 1
    least_target: int = 1
    reads_ahead: bool = True
    takes: tuple[str, ...] = ()
    _ahead: tuple[int, int, Any] | None = None

    def __init__(self, config: Strategy | None = None, /, **params: Any) -> None:
        self.config: Any = build(self.config_class, params) if config is None else config
        self.cursor = 0
        self.calls = 0
        self.prepare()

    # -- what a strategy defines ----------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make what all draws share. Runs once, and once more where the sampler is unpickled."""

    def draw(self, keys: Bits, step: int | None, **given: Any) -> Any:
        """The masks of the samples with these keys, each row from its own key.

        Args:
            keys: (B,) a key for each sample: give them to `maskkit_jepa.uniform`, `bits`, `choose` and the like.
            step: the step of the training, or None where the caller named none.
            given: what the caller handed over by name, such as scores, (B, ...) each.

        Returns:
            A `MaskBatch`, or `MaskGroups`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define draw(keys, step)")

    def as_array(self, name: str, values: Any) -> Array:
        """What a caller handed over by this name, of any library and device, as a NumPy array with a row a sample.

        For strategies that take more than arrays, such as lists of unequal lengths.
        """
        return fetched(values)

    # -- drawing --------------------------------------------------------------------------------------------------

    def sample(self, ids: Any, epoch: int = 0, step: int | None = None, **given: Any) -> Any:
        """The masks of samples, by their numbers: the same for any batch, order, worker, rank and resume point.

        Args:
            ids: an integer, a range, or integers (B,) of any library, `>= 0`.
            epoch: an integer; another epoch, other masks.
            step: of the training; only strategies with a schedule look at it.
            given: what the strategy takes besides, such as scores, (B, ...) each.
        """
        numbers = _ids(ids)
        if not is_integer(epoch) or epoch < 0:
            raise ConfigError(f"epoch must be an integer, 0 or more, got {epoch!r}")
        keys = sample_keys(self.config.seed, int(epoch), numbers)
        given = {name: self._rows(name, values, len(keys)) for name, values in given.items() if values is not None}
        if len(keys) <= _CHUNK:
            return self.draw(keys, step, **given)
        parts = [slice(start, start + _CHUNK) for start in range(0, len(keys), _CHUNK)]
        return concatenate([self.draw(keys[p], step, **{k: v[p] for k, v in given.items()}) for p in parts])

    def _rows(self, name: str, values: Any, size: int) -> Array:
        """What a caller handed over, of any library and device, as a NumPy array with a row for each sample."""
        if name not in self.takes:
            takes = " and ".join(self.takes) or "nothing besides"
            raise ConfigError(f"{self.config.name} takes {takes}, got {name!r}{did_you_mean(name, self.takes)}")
        rows = self.as_array(name, values)
        if not rows.ndim or len(rows) != size:
            raise ConfigError(f"{name} must have a row for each of the {size} samples, got shape {rows.shape}")
        return rows

    def at(self, step: int, batch_size: int, rank: int = 0, world_size: int = 1, **given: Any) -> Any:
        """The masks of one rank at one step of a training: sample ids count on over ranks and steps.

        The masks of all ranks together are those of one process with `batch_size * world_size` samples a step.
        """
        for name, value, least in (("step", step, 0), ("batch_size", batch_size, 1), ("world_size", world_size, 1)):
            if not is_integer(value) or value < least:
                raise ConfigError(f"{name} must be an integer, {least} or more, got {value!r}")
        if not is_integer(rank) or not 0 <= rank < world_size:
            raise ConfigError(f"rank must be in 0 .. world_size - 1 = {world_size - 1}, got {rank!r}")
        first = (step * world_size + rank) * batch_size
        return self.sample(range(first, first + batch_size), step=step, **given)

    def __call__(self, batch_size: int, device: Any = "cpu", **given: Any) -> Any:
        """The next batch: Torch booleans on the device, `context, targets` unpack it."""
        if not is_integer(batch_size) or batch_size < 1:
            raise ConfigError(f"batch_size must be a positive integer, got {batch_size!r}")
        drawn = self._next(int(batch_size), given).to(device)
        for batch in batches(drawn).values():
            batch.context  # noqa: B018 - a device that is not there should fail here, and move nothing on
        self.cursor += int(batch_size)
        self.calls += 1
        return drawn

    def _next(self, size: int, given: Mapping[str, Any]) -> Any:
        """The masks at the cursor; small batches are cut from many samples drawn at once, which only saves time."""
        start = self.cursor
        if given or not self.reads_ahead or size > self._most_ahead // 2:
            return self.sample(range(start, start + size), step=self.calls, **given)
        ahead = self._ahead
        if ahead is None or ahead[0] != start or ahead[1] + size > self._most_ahead:
            ahead = start, 0, self.sample(range(start, start + self._most_ahead), step=self.calls)
        _, row, many = ahead
        self._ahead = start + size, row + size, many  # rows are given out once: their owner may write into them
        return many.rows(row, row + size, copy=False)

    @cached_property
    def _most_ahead(self) -> int:
        """How many samples calls draw at once."""
        one = batches(self.sample(0))
        size: int = sum(array.nbytes for batch in one.values() for array in batch.arrays)
        return max(1, min(_AHEAD, _AHEAD_BYTES // size))

    def example(self, size: int) -> dict[str, Any]:
        """What `sample` must be given besides ids, made up for so many samples; most strategies need nothing."""
        return {}

    def preview(self, count: int = 1) -> Any:
        """The masks of the first few samples at step 0, for pictures and figures."""
        return self.sample(range(count), step=0, **self.example(count))

    def picture(self, *, blocked: bool = False, samples: int | None = None) -> StrategyPicture:
        """What `maskkit render` draws: the first samples, None for few."""
        if blocked:
            raise ConfigError("--blocked is for masks; a strategy draws context and targets")
        return StrategyPicture(self.preview(samples or _PICTURED), self._notes(), samples)

    def pictures(self, steps: Iterable[int]) -> list[StrategyPicture]:
        """What `maskkit render --steps` draws: the same samples at each of these steps.

        Raises:
            ConfigError: their masks do not depend on the step.
        """
        drawn = [self.sample(range(_PICTURED), step=step, **self.example(_PICTURED)) for step in steps]
        arrays = [[array for batch in batches(one).values() for array in batch.arrays] for one in drawn]
        same = (np.array_equal(a, b) for one in arrays[1:] for a, b in zip(arrays[0], one, strict=True))
        if len(drawn) > 1 and all(same):
            raise ConfigError("a sample has the same masks at all of these steps, so there is nothing to animate")
        return [StrategyPicture(one, self._notes()) for one in drawn]

    def measure(self, block_size: int | None = None) -> StrategyMeasures:
        """What `maskkit stats` prints: figures over many samples."""
        if block_size is not None:
            raise ConfigError("--block-size is for masks; a strategy draws context and targets")
        return StrategyMeasures(self.config, self.preview(_MEASURED), self._notes())

    def _notes(self) -> list[str]:
        """Some strategies are given scores and the like with each call; here there are none but examples."""
        made_up = " and ".join(self.example(1))
        return [f"{made_up}: made up here; in training they are given with each call"] if made_up else []

    # -- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, int]:
        """Where calls go on: how many samples and batches were drawn by calling."""
        return {"samples": self.cursor, "calls": self.calls}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Go on from where `state_dict` was taken."""
        if set(state) != {"samples", "calls"}:
            raise ConfigError(f"a sampler's state has 'samples' and 'calls', got {', '.join(map(str, state))}")
        self.cursor, self.calls = int(state["samples"]), int(state["calls"])

    def __getstate__(self) -> dict[str, Any]:
        return {"config": self.config, "state": self.state_dict()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.config = saved["config"]
        self.load_state_dict(saved["state"])
        self.prepare()

    # -- looking in -----------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        """The parameters of the config, under their names."""
        if name.startswith("_") or name == "config":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self.config, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.config!r})"


def _ids(ids: Any) -> Any:
    """Sample numbers as an integer array (B,)."""
    numbers = np.arange(ids.start, ids.stop, ids.step) if isinstance(ids, range) else fetched(ids)
    if is_integer(ids):
        numbers = numbers.reshape(1)  # Torch's arrays of one number are integers, too
    if numbers.ndim != 1 or not numbers.size or numbers.dtype.kind not in "iu":
        raise ConfigError(f"ids must be one or more integers, got {ids!r:.60}")
    if numbers.min() < 0:
        raise ConfigError(f"ids must not be negative, got {int(numbers.min())}")
    return numbers
