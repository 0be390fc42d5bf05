"""BigBird: a query sees the blocks near it, the global blocks, and a few random blocks."""

import numpy as np
from attrs import field, frozen
from maskkit import AttentionMask, Spans, hookimpl, non_negative, odd, one_of, positive, random_bits, seed, seed_or_new
from maskkit.arrays import maximum, minimum
from maskkit.validators import FieldRule


def _half_at_each_end(config):
    """What is wrong with the number of global blocks, if half of them is to stand at each end."""
    count = config.num_global_blocks
    if config.global_blocks != "both_ends" or count % 2 == 0:
        return ""
    return f"num_global_blocks must be even for global_blocks 'both_ends', got {count}: {count - 1} or {count + 1}"


_TRIED_SEEDS, _TRIED_BLOCKS = 64, 64
"""Small seeds, as people write them, are found again in masks of so many blocks."""


@frozen(kw_only=True)
class BigBird(AttentionMask):
    """A block of queries may see the blocks near it, the global blocks, and a few random ones; global blocks see all.

    Near are the num_window_blocks blocks around its own; those beyond the ends are not made up for. Global are
    num_global_blocks, all of them first, or half first and half last as in the authors' code. Random are
    num_random_blocks distinct blocks from those that it does not see anyway (all of them where there are no more),
    every choice equally likely. They follow from a hash of (seed, query block, draw), the same on every backend.

    Source: Zaheer et al. 2020 (BigBird), arXiv:2007.14062, section 2 and figure 1 (global tokens within the sequence:
    BigBird-ITC).

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        block_size: tokens per block; the last block is shorter if the length is not a multiple.
        num_random_blocks: number of blocks that a query block draws.
        num_window_blocks: width of the window in blocks, the query's own in the middle.
        num_global_blocks: number of blocks that see and are seen by all.
        global_blocks: where they are, "first" or "both_ends", which takes an even number.
        seed: 0 .. 2**64 - 1; None draws one when the mask is made, and shows it.
    """

    name = "bigbird"
    rules = (
        FieldRule(
            ("num_global_blocks", "global_blocks"), "must be even for global_blocks 'both_ends'", _half_at_each_end
        ),
    )
    samples = (
        dict(seq_len=24, block_size=2, num_random_blocks=2, num_global_blocks=1, seed=1),
        dict(seq_len=14, block_size=3, num_random_blocks=40, seed=2),
        dict(seq_len=9, block_size=1, num_random_blocks=0, num_window_blocks=5, num_global_blocks=0, seed=3),
        dict(seq_len=10, seed=4),
        dict(seq_len=23, block_size=2, num_random_blocks=2, global_blocks="both_ends", seed=5),
    )
    seq_len: int = field(validator=positive)
    block_size: int = field(default=64, validator=positive)
    num_random_blocks: int = field(default=3, validator=non_negative)
    num_window_blocks: int = field(default=3, validator=odd)
    num_global_blocks: int = field(default=2, validator=non_negative)
    global_blocks: str = field(default="first", validator=one_of("first", "both_ends"))
    seed: int = field(default=None, converter=seed_or_new, validator=seed)

    def allows(self, q, k):
        row, column = q // self.block_size, k // self.block_size
        near = abs(row - column) <= self.num_window_blocks // 2
        allowed = near | self._is_global(row) | self._is_global(column)
        for block in self._random_blocks(row, [random_bits(self.seed, row, draw) for draw in range(self._draws)]):
            allowed = allowed | (column == block)
        return allowed

    @property
    def intervals(self):
        return self.num_random_blocks + 3

    def spans(self, q):
        row, of_query = np.unique(q // self.block_size, return_inverse=True)
        reach = self.num_window_blocks // 2
        drawn = self._random_blocks(row, random_bits(self.seed, row, np.arange(self._draws)[:, None]))
        head, tail = (np.full_like(row, end) for end in self._local)
        head[self._is_global(row)] = self._blocks
        first = np.stack([np.zeros_like(row), row - reach, *drawn, tail])
        behind = np.stack([head, row + reach + 1, *(block + 1 for block in drawn), np.full_like(row, self._blocks)])
        blocks = Spans.intervals(first * self.block_size, behind * self.block_size)
        return blocks.within(self.seq_len).take(of_query.reshape(q.shape))

    @property
    def _blocks(self):
        return -(-self.seq_len // self.block_size)

    @property
    def _local(self):
        """The first block behind the leading global ones, and the first of those at the end."""
        if self.global_blocks == "first":
            return self.num_global_blocks, self._blocks
        return self.num_global_blocks // 2, self._blocks - self.num_global_blocks // 2

    def _is_global(self, block):
        head, tail = self._local
        return (block < head) | (block >= tail)

    @property
    def _draws(self):
        return min(self.num_random_blocks, self._blocks)

    @classmethod
    def recognize(cls, spans):
        n = spans.limit
        if len(spans.shape) > 1:
            return None
        changes = ((spans.lo[:, 1:] != spans.lo[:, :-1]) | (spans.hi[:, 1:] != spans.hi[:, :-1])).any(axis=0)
        size = int(np.gcd.reduce(np.flatnonzero(changes) + 1)) or n
        blocks = -(-n // size)
        if blocks > _TRIED_BLOCKS:
            return None
        allowed = spans.take(np.arange(0, n, size)).to_bool()[:, ::size]
        is_global = allowed.all(axis=1)
        first = int(np.argmin(np.append(is_global, False)))
        both = bool(is_global[-1]) and first < blocks
        inner = ~is_global
        if not inner.any() or is_global.sum() != first * (1 + both):
            return None
        offset = np.subtract.outer(np.arange(blocks), np.arange(blocks))
        pairs = inner[:, None] & inner
        reach = int(np.argmin([(allowed | ~pairs)[abs(offset) == d].all() for d in range(blocks)] + [False])) - 1
        far = pairs & (abs(offset) > reach)
        taken, choice = (allowed & far).sum(axis=1), far.sum(axis=1)
        drawn = int(taken.max())
        if (taken != np.minimum(choice, drawn)).any():
            return None
        shape = dict(num_window_blocks=2 * max(reach, 0) + 1, num_random_blocks=drawn)
        shape |= dict(num_global_blocks=int(is_global.sum()), global_blocks="both_ends" if both else "first")
        blockwise = Spans.from_bool(allowed)
        for number in range(_TRIED_SEEDS if drawn else 1):
            if cls(seq_len=blocks, block_size=1, seed=number, **shape).spans(np.arange(blocks)) == blockwise:
                return dict(seq_len=n, block_size=size, seed=number, **shape)
        return None

    def _random_blocks(self, row, bits):
        """The blocks that each query block draws, one for each number; where none is left, a global one or none."""
        reach, (head, tail) = self.num_window_blocks // 2, self._local
        window = maximum(row - reach, head)
        width = maximum(minimum(row + reach + 1, tail) - window, 0)
        ranks = _subset(bits, tail - head - width)
        # Number the candidates 0, 1, ..: from the global blocks up to the window, and on behind it.
        behind = [minimum(maximum(head + rank - window + 1, 0), 1) for rank in ranks]
        return [head + rank + width * jump for rank, jump in zip(ranks, behind, strict=True)]


def _subset(bits, count):
    """As many distinct numbers below count as there are bits, all subsets equally likely; negative where they are more.

    Floyd's algorithm (Bentley and Floyd 1987, "A sample of brilliance"), without branches.
    """
    chosen = []
    for draw, number in enumerate(bits):
        last = count - len(bits) + draw
        drawn = number % maximum(last + 1, 1)
        taken = sum(1 - minimum(abs(drawn - earlier), 1) for earlier in chosen)
        chosen.append(minimum(drawn + (last - drawn) * taken, last))
    return chosen


@hookimpl
def maskkit_masks():
    return [BigBird]
