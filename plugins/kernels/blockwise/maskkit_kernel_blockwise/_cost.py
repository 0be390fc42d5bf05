"""What the loops cost, in seconds of a core with AVX-512: ratios to other kernels are what counts.

Measured by `tests/benchmarks/test_kernel_speed_jax.py`; a pair is one of query and key, at width 64.
"""

from typing import Any

from maskkit import Problem

LOOP = 500e-6
"""What a loop more must save: most is the time to compile it."""
FIXED = {False: 60e-6, True: 100e-6}
"""Whatever the mask; forward (False) and backward (True)."""
STEP = {False: 15e-6, True: 30e-6}
PAIR = {False: 4.0e-9, True: 12.5e-9}
SLOWER = {False: 17.0, True: 5.0}
"""A pair in a block of r rows costs (1 + SLOWER / r) times as much."""
INTERVAL = 0.3e-9
"""For every interval of a row, and key that is compared with it; once for all lanes of a step."""
OTHER = {"float16": 1.3, "bfloat16": 1.3, "float64": 2.0}
"""Dtypes, as a multiple of float32."""
ACCELERATOR = 1e-3
"""A GPU, as a multiple of the CPU."""


def seconds(job: Any, problem: Problem, backward: bool) -> float:
    """The estimate for all loops of a pass."""
    share = (problem.head_dim + problem.value_dim) / 128
    steps = sum(group.count for group in job.groups)
    cells = sum(group.count * job.rows * group.width for group in job.groups)
    pair = PAIR[backward] * (1 + SLOWER[backward] / job.rows) * (0.3 + 0.7 * share)
    arithmetic = (job.pairs * pair + cells * job.lo.shape[1] * INTERVAL) * OTHER.get(problem.dtype, 1.0)
    arithmetic *= 1.0 if problem.device == "cpu" else ACCELERATOR
    return FIXED[backward] + steps * STEP[backward] + arithmetic
