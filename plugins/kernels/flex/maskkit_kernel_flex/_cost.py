"""What a call costs on a GPU, in the seconds of the dense kernel there, which has a thousandth of a CPU core's.

Not measured: no GPU was at hand. A pair is taken to cost a fifth more than in Torch's own fused call, and in a partial
block 15 % more again, which the documentation of `BlockMask` gives for causal masks. What is certain is that the cost
follows the blocks that are touched, and that of the dense call does not. `make test-gpu` prints what it really is.
"""

from maskkit import Problem
from maskkit_kernel_flex._forms import BLOCK, Blocks

CALL = 150e-6
"""Guards of the compiled call, checked on the host; compiling itself takes seconds, once, and is not counted."""
PAIR = {False: 3.6e-12, True: 13e-12}
"""A pair of query and key at width 64: forward, and with the backward pass."""
PARTIAL = 1.15
"""A pair of a partial block, as a multiple."""
OTHER = {"float16": 2.0}
"""Dtypes, as the dense kernel counts them."""


def seconds(problem: Problem, blocks: Blocks) -> float:
    """The estimate."""
    each = PAIR[problem.training] * (problem.head_dim + problem.value_dim) / 128
    return CALL + (blocks.full + PARTIAL * blocks.partial) * BLOCK**2 * each * OTHER.get(problem.dtype, 1.0)
