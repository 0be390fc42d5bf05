"""What a call costs on a GPU, in the seconds of the dense kernel there, which has a thousandth of a CPU core's.

Not measured: no GPU was at hand. It is the same FlashAttention as the dense call without a mask, so a pair is taken to
cost the same; `make test-gpu` prints what it really is.
"""

from maskkit import Problem

CALL = 60e-6
"""With the arrays brought into the order of tokens before heads."""
PAIR = {False: 3.0e-12, True: 10.8e-12}
"""A pair of query and key at width 64: forward, and with the backward pass."""
OTHER = {"float16": 2.0}
"""Dtypes, as the dense kernel counts them."""


def seconds(problem: Problem, pairs: int) -> float:
    """The estimate."""
    wide = max(problem.head_dim, problem.value_dim)
    return CALL + pairs * PAIR[problem.training] * wide / 64 * OTHER.get(problem.dtype, 1.0)
