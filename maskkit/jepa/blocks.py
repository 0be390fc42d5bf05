"""Drawing target blocks and a context block: what `multi_block` and `hierarchical` share.

Of a plan whose targets are disjoint, an attempt sets the targets down one after the other, each among all places that the
ones before leave free, sizes and corners by their laws; then the context block, among those that keep `min_context` tokens
when the targets are taken out. It fails where no place is left.

**Why it ends.** A sample makes `max_attempts` attempts, of one step for each target; after that it takes an arrangement that
was found beforehand. There is one: a plan exists only once `maskkit.jepa.packing` has found it. So a draw is at most
`max_attempts * count` steps and a look-up, and whatever it gives keeps all promises.
"""

from __future__ import annotations

import math
from functools import cached_property
from itertools import permutations

import numpy as np
from maskkit.jepa.attempts import first_success
from maskkit.jepa.batch import MaskBatch
from maskkit.jepa.counter import Array, Bits, Bools, Floats, Ints, fork, integers, keys, uniform
from maskkit.jepa.grid import apart, free_in
from maskkit.jepa.placements import Placements, placements
from maskkit.jepa.plans import BlockPlan
from maskkit.jepa.sizes import Size

_TRIES = 64
"""Tries at a free place on grids that are too large for bitsets."""
_PERMUTED = 6
"""Up to so many targets, their orders are tabulated."""
_SPARES = 1024
"""Arrangements that are kept for samples whose attempts all fail."""
_SPARE_BATCH, _SPARE_BATCHES = 2048, 64


class Blocks:
    """Draws what a plan says.

    A row of `places` is the numbers of the places of the targets, and then that of the context block.
    """

    def __init__(self, plan: BlockPlan) -> None:
        self.plan = plan
        blind = (Size(*plan.blind, 0.0),) if plan.overlap == "legacy" else ()
        self.targets = placements(plan.grid, plan.targets + blind)
        self.contexts = placements(plan.grid, plan.contexts)
        self._draw = {"disjoint": self._disjoint, "allow": self._allowed, "legacy": self._legacy}[plan.overlap]

    def draw(self, keys: Bits) -> MaskBatch:
        """The masks of the samples with these keys."""
        places = self._draw(keys)
        chosen = places[:, :-1]
        targets = self.targets.cells(chosen)
        context = self.contexts.cells(places[:, -1])
        for i in range(self.plan.count):
            np.greater(context, targets[:, i], out=context)  # and not
        return MaskBatch(
            context=context, targets=targets, grid=self.plan.grid, sample_keys=keys, boxes=self.targets.boxes[chosen]
        )

    @cached_property
    def feasibility(self) -> float:
        """The share of attempts that succeed."""
        if self.plan.overlap == "legacy":
            return 1.0
        return float(self._attempt(keys(0, 0, np.arange(2048)), np.zeros(2048, np.int64))[1].mean())

    # -- attempts -------------------------------------------------------------------------------------------------

    def _disjoint(self, keys: Bits) -> Ints:
        return first_success(
            len(keys),
            lambda rows, numbers: self._attempt(keys[rows], numbers),
            self.plan.max_attempts,
            lambda rows: self._spare(keys[rows]),
        )

    _allowed = _disjoint

    def _attempt(self, keys: Bits, numbers: Ints) -> tuple[Ints, Bools]:
        """Places for each row, and whether they keep the promises. An attempt has `count + 2` columns of its own."""
        count = self.plan.count
        numbers_in_01 = uniform(keys, numbers * (count + 2), count + 2)
        if self.plan.overlap == "allow":
            targets, good = self.targets.draw(numbers_in_01[:, :count]), np.ones(len(keys), np.bool_)
        else:
            targets, good = self._arrange(keys, numbers, numbers_in_01)
            targets = _relabelled(targets, numbers_in_01[:, count + 1])
        context, enough = self._context(targets, numbers_in_01[:, count])
        return np.column_stack([targets, context]), good & enough

    def _arrange(self, keys: Bits, numbers: Ints, numbers_in_01: Floats) -> tuple[Ints, Bools]:
        """Disjoint targets (R, T), in the order in which they were set down, and whether all found a place."""
        if not self.targets.has_bitsets:
            return self._arrange_large(keys, numbers)
        targets = np.empty((len(keys), self.plan.count), np.int64)
        done = self.targets.first(targets, numbers_in_01)
        good = targets[:, 0] >= 0
        free = self.targets.free[targets[:, 0]]
        for i in range(1, done):
            free &= self.targets.free[targets[:, i]]
        for i in range(done, self.plan.count):
            if i > done:
                free &= self.targets.free[targets[:, i - 1]]
            targets[:, i], found = self.targets.pick(free, numbers_in_01[:, i])
            good &= found
        return targets, good
