"""What the calls cost, in seconds of a core with AVX-512: ratios to other kernels are what counts.

Measured by `tests/benchmarks/test_kernel_speed.py`; a pair is one of query and key, at width 64.
"""

from collections.abc import Sequence

from maskkit import Problem
from maskkit_blocks import Call, Strips

FIXED = {False: 800e-6, True: 1.3e-3}
"""Whatever the mask, forward (False) and backward (True): more than it is alone, since small problems gain little."""
CALL = {False: 60e-6, True: 150e-6}
PAIR = {False: 3.0e-9, True: 7.8e-9}
SLOWER = {False: 2.0, True: 3.0}
"""A pair in a block of r rows costs (1 + SLOWER / r) times as much."""
BFLOAT16 = {False: (PAIR[False], SLOWER[False]), True: (5.2e-9, 89.0)}
"""Both in bfloat16: gradients are cheaper in large blocks, and dearer in small ones."""
ROW = {False: 55e-9, True: 70e-9}
"""A row of a block, however few keys it has."""
BIAS = {False: 0.27e-9, True: 0.4e-9}
"""More for a pair of a block that allows not all."""
COPY = {False: 0.3e-9, True: 0.8e-9}
"""An element of the output that is put in its place (forward), of keys and values whose gradients are added."""
GATHER = {False: 0.5e-9, True: 1.2e-9}
"""An element of keys and values that are gathered."""
MERGE = 0.6e-9
"""An element of the output that is merged with that of a layer before."""
OTHER = {"float64": 2.0}
"""Dtypes, as a multiple of float32, in which float16 is computed."""
MARGIN = 1.1
"""What else there is: the dense call is taken where the two are close."""
UNFUSED = 4.0
"""Without Torch's own call."""


def seconds(layers: Sequence[Sequence[Call]], lanes: int, runs: int, problem: Problem, backward: bool) -> float:
    """The estimate for the layers of a plane, of so many lanes in so many runs of them."""
    width = max(problem.head_dim, problem.value_dim)
    pair, slower = BFLOAT16[backward] if problem.dtype == "bfloat16" else (PAIR[backward], SLOWER[backward])
    total = 0.0
    for layer, calls in enumerate(layers):
        for call in calls:
            each = pair * (1 + slower / call.rows) + BIAS[backward] * (call.lo is not None)
            out, keys = call.rows * call.count * width, 2 * call.width * call.count * width
            total += CALL[backward] * runs + lanes * (
                (call.pairs * each + call.rows * call.count * ROW[backward]) * width / 64
                + COPY[backward] * (keys if backward else out)
                + GATHER[backward] * keys * (call.runs is not None)
                + MERGE * out * (layer > 0 and not backward)
            )
    return total * OTHER.get(problem.dtype, 1.0) * MARGIN


def reordered(grid: Sequence[Strips], lanes: int, problem: Problem, backward: bool) -> float:
    """The estimate for bringing a grid into strips, and back."""
    places = sum(runs.strips * runs.size for one in grid for runs in (one.queries, one.keys))
    width = max(problem.head_dim, problem.value_dim)
    return width * (4 if backward else 2) * places * lanes * GATHER[backward]
