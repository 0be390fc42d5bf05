"""Drawing target blocks and a context block: what `multi_block`, `hierarchical` and `ijepa` share.

Of a plan whose targets are disjoint, an attempt sets the targets down one after the other, each among all places that
the ones before leave free, sizes and corners by their laws; then the context block, among those that keep `min_context`
tokens when the targets are taken out. It fails where no place is left.

**Why it ends.** A sample makes `max_attempts` attempts, of one step for each target; after that it takes an arrangement
that was found beforehand. There is one: a plan exists only once `blocks/packing.py` has found it. So a draw is at
most `max_attempts * count` steps and a look-up, and whatever it gives keeps all promises.
"""

from __future__ import annotations

import math
from functools import cache, cached_property
from itertools import permutations
from typing import Any

import numpy as np
from maskkit_jepa.batch.batch import MaskBatch
from maskkit_jepa.blocks.placements import placements
from maskkit_jepa.blocks.plans import BlockPlan
from maskkit_jepa.blocks.retries import first_success
from maskkit_jepa.blocks.sizes import Size
from maskkit_jepa.grid import apart, free_in
from maskkit_jepa.randomness import Bits, Bools, Floats, Ints, fork, integers, shuffle, uniform
from maskkit_jepa.randomness import keys as sample_keys

_TRIES = 32
"""Tries at a free place on grids that are too large for bitsets."""
_SPARES, _SPARE_BATCH, _SPARE_BATCHES = 512, 1024, 16
"""Arrangements that are kept for samples whose attempts all fail, and how long is looked for them."""
_FORK_TRIES, _FORK_BLIND, _FORK_SPARE, _FORK_ORDER, _FORK_SIZE = 1, 2, 3, 4, 5


class Blocks:
    """Draws what a plan says. A row of places is the numbers of the places of the targets, then that of the context."""

    def __init__(self, plan: BlockPlan) -> None:
        self.plan = plan
        blind = (Size(*plan.blind, 0.0),) if plan.overlap == "legacy" else ()
        self.targets = placements(plan.grid, plan.targets + blind)
        self.contexts = placements(plan.grid, plan.contexts)
        self._context_is_safe = plan.context_is_safe
        self._columns = plan.count + 3  # of one attempt: the targets, the context, the context again, the order

    def draw(self, keys: Bits, size_keys: Bits | None = None) -> MaskBatch:
        """The masks of the samples with these keys.

        Where all targets of a sample have one size, that is drawn from the sample's key, or from `size_keys` (B,):
        samples for which that is the same share the size.
        """
        sizes = None
        if self.plan.one_size:
            chances = uniform(fork(keys if size_keys is None else size_keys, _FORK_SIZE), 0, 1)
            sizes = self.targets.draw_sizes(chances[:, 0])
        places = self._legacy(keys) if self.plan.overlap == "legacy" else self._promised(keys, sizes)
        chosen = places[:, :-1]
        targets = self.targets.cells(chosen)
        context = self.contexts.cells(places[:, -1])
        for i in range(self.plan.count):
            np.greater(context, targets[:, i], out=context)  # context and not target
        boxes = self.targets.boxes.take(chosen, axis=0)
        return MaskBatch(context=context, targets=targets, grid=self.plan.grid, sample_keys=keys, boxes=boxes)

    @cached_property
    def feasibility(self) -> float:
        """The share of attempts that succeed; with the legacy law none is ever refused."""
        if self.plan.overlap == "legacy":
            return 1.0
        keys = sample_keys(0, 0, np.arange(2048))
        sizes = self.targets.draw_sizes(uniform(keys, 0, 1)[:, 0]) if self.plan.one_size else None
        return float(self._attempt(keys, np.zeros(2048, np.int64), sizes)[1].mean())

    # -- what keeps the promises ----------------------------------------------------------------------------------

    def _promised(self, keys: Bits, sizes: Ints | None) -> Ints:
        return first_success(
            len(keys),
            lambda rows, numbers: self._attempt(keys[rows], numbers, None if sizes is None else sizes[rows]),
            self.plan.max_attempts,
            lambda rows: self._spare(keys[rows]) if sizes is None else self._spare_of(sizes[rows]),
            likely=self.plan.overlap == "allow" and self._context_is_safe,
        )

    def _attempt(self, keys: Bits, numbers: Ints, sizes: Ints | None = None) -> tuple[Ints, Bools]:
        """Places, and whether they keep the promises, for attempts with these numbers, of these sizes if given."""
        count = self.plan.count
        places = np.empty((len(keys), count + 1), np.int64)
        chances = uniform(keys, numbers * self._columns, self._columns)
        if sizes is not None:
            targets, good = self.targets.draw_of(sizes[:, None], chances[:, :count]), None
        elif self.plan.overlap == "allow":
            targets, good = self.targets.draw(chances[:, :count]), None
        else:
            arrange = self._arrange if self.targets.has_bitsets else self._arrange_by_trying
            targets, good = arrange(keys, numbers, chances)
            targets = _relabelled(targets, keys, chances[:, -1])
        context, enough = self._context(targets, chances[:, count:])
        places[:, :count], places[:, count] = targets, context
        return places, enough if good is None else good & enough

    def _arrange(self, keys: Bits, numbers: Ints, chances: Floats) -> tuple[Ints, Bools]:
        """Disjoint targets in the order in which they were set down (R, T), and whether all found a place."""
        count, places = self.plan.count, self.targets
        targets = np.empty((len(keys), count), np.int64)
        good = np.ones(len(keys), np.bool_)
        targets[:, 0] = places.draw(chances[:, 0])
        free = places.free.take(targets[:, 0], axis=0)
        for i in range(1, count):
            targets[:, i], found = places.pick(free, chances[:, i])
            good &= found
            if i + 1 < count:
                free &= places.free.take(targets[:, i], axis=0)
        return targets, good

    def _arrange_by_trying(self, keys: Bits, numbers: Ints, chances: Floats) -> tuple[Ints, Bools]:
        """The same on large grids, where a target has a bounded number of tries at a free place."""
        count = self.plan.count
        keys = fork(keys, _FORK_TRIES)
        targets, good = np.zeros((len(keys), count), np.int64), np.ones(len(keys), np.bool_)
        for i in range(count):
            columns = (numbers * count + i) * _TRIES
            targets[:, i], found = self._first_free(keys, columns, _TRIES, targets[:, :i])
            good &= found
        return targets, good

    def _first_free(self, keys: Bits, columns: Any, tries: int, before: Ints) -> tuple[Ints, Bools]:
        """The first of so many random places that leaves the places `before` (R, i) alone; and whether one does."""
        boxes = self.targets.boxes
        tried = self.targets.draw(uniform(keys, columns, tries))
        clear = np.all(apart(boxes[tried][:, :, None], boxes[before][:, None]), axis=2)
        return tried[np.arange(len(tried)), clear.argmax(axis=1)], np.any(clear, axis=1)

    def _context(self, targets: Ints, chances: Floats) -> tuple[Ints, Bools]:
        """A context block by its law, among those that keep enough beside the targets; and whether there is one."""
        context, good = self.contexts.draw(chances[:, 0]), np.ones(len(targets), np.bool_)
        if self._context_is_safe:
            return context, good
        taken = np.bitwise_or.reduce(self.targets.words(targets), axis=1)
        kept = np.bitwise_count(self.contexts.words(context) & ~taken).sum(axis=1)
        poor = np.flatnonzero(kept < self.plan.min_context)
        for rows in np.array_split(poor, -(-len(poor) // 64)) if len(poor) else ():
            free = ~np.any(self.targets.cells(targets[rows]), axis=1)
            room = free_in(free, self.plan.grid, self.contexts.boxes)
            running = np.cumsum((room >= self.plan.min_context) * self.contexts.weights, axis=1)
            chance = (chances[rows, 1] * running[:, -1])[:, None]
            context[rows] = np.minimum((running <= chance).sum(axis=1), running.shape[1] - 1)
            good[rows] = running[:, -1] > 0
        return context, good

    # -- when all attempts have failed ----------------------------------------------------------------------------

    def _spare(self, keys: Bits) -> Ints:
        """Arrangements found beforehand, one at random for each sample."""
        return self._spares[integers(fork(keys, _FORK_SPARE), 0, 1, len(self._spares))[:, 0]]

    def _spare_of(self, sizes: Ints) -> Ints:
        """All targets in one corner of the grid, which leaves most, and the context that keeps most of that."""
        starts = self.targets.starts[sizes]
        free = ~self.targets.cells(starts)
        found, which = np.unique(sizes, return_index=True)
        room = free_in(free[which], self.plan.grid, self.contexts.boxes)
        best = room.argmax(axis=1)[np.searchsorted(found, sizes)]
        return np.column_stack([np.repeat(starts[:, None], self.plan.count, axis=1), best])

    @cached_property
    def _spares(self) -> Ints:
        """Arrangements (M, T + 1) that keep the promises: the one known, and those of many attempts. Of no seed."""
        found = [self._known()]
        for batch in range(_SPARE_BATCHES):
            keys = sample_keys(0, 0, np.arange(batch * _SPARE_BATCH, (batch + 1) * _SPARE_BATCH))
            places, good = self._attempt(keys, np.zeros(_SPARE_BATCH, np.int64))
            found.append(places[good])
            if sum(map(len, found)) > _SPARES:
                break
        return np.concatenate(found)[:_SPARES]

    def _known(self) -> Ints:
        """The arrangement that the plan came with, and the context that keeps most."""
        boxes = np.array(self.plan.known)
        targets = [int(np.flatnonzero((self.targets.boxes == box).all(axis=1))[0]) for box in boxes]
        free = ~np.any(self.targets.cells(np.array([targets])), axis=1)
        return np.array([[*targets, int(free_in(free, self.plan.grid, self.contexts.boxes).argmax())]])

    # -- the law of the first implementation ----------------------------------------------------------------------

    def _legacy(self, keys: Bits) -> Ints:
        """Each target makes `max_attempts` tries; then a block of fixed size is set down without a look."""
        count, tries = self.plan.count, self.plan.max_attempts
        blind = np.flatnonzero(self.targets.real & (self.targets.weights == 0))
        corners = integers(fork(keys, _FORK_BLIND), 0, count, len(blind))
        places = np.zeros((len(keys), count + 1), np.int64)
        chances = uniform(keys, 0, 2 * count + 1)
        places[:, 0], places[:, count] = self.targets.draw(chances[:, 0]), self.contexts.draw(chances[:, count])
        free = self.targets.free.take(places[:, 0], axis=0) if self.targets.has_bitsets and count > 1 else None
        for i in range(1, count):
            if free is None:
                place, found = self._first_free(fork(keys, _FORK_TRIES), i * tries, tries, places[:, :i])
            else:
                place, _ = self.targets.pick(free, chances[:, i])
                # A try succeeds with the weight of the free places: so many tries, without making them.
                found = chances[:, count + i] >= (1 - np.minimum(self.targets.weight(free), 1)) ** tries
            places[:, i] = np.where(found, place, blind[corners[:, i]])
            if free is not None and i + 1 < count:
                free &= self.targets.free.take(places[:, i], axis=0)
        return places


def _relabelled(targets: Ints, keys: Bits, chance: Floats) -> Ints:
    """The targets of each row in random order: the last ones set down are nearer to the rim."""
    count = targets.shape[1]
    if count > 6:
        return np.take_along_axis(targets, shuffle(fork(keys, _FORK_ORDER), 0, count), axis=1)
    order = _orders(count).take((chance * math.factorial(count)).astype(np.int64), axis=0)
    order += np.arange(0, targets.size, count)[:, None]
    return targets.ravel().take(order)


@cache
def _orders(count: int) -> Ints:
    return np.array(list(permutations(range(count))))
