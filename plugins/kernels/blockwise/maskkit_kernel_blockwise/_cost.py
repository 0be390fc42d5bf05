"""What the loops cost, in seconds of a core with AVX-512: ratios to other kernels are what counts."""

from typing import Any

from maskkit import Problem

LOOP = 500e-6
"""What a loop more must save: most is the time to compile it."""
FIXED = {False: 30e-6, True: 60e-6}
STEP = {False: 15e-6, True: 30e-6}
PAIR = {False: 4.5e-9, True: 12e-9}
INTERVAL = 0.3e-9
OTHER = {"float16": 1.3, "bfloat16": 1.3, "float64": 2.0}
ACCELERATOR = 1e-3


def seconds(job: Any, problem: Problem, backward: bool) -> float:
    """The estimate for all loops of a pass."""
    share = (problem.head_dim + problem.value_dim) / 128
    steps = sum(group.count for group in job.groups)
    cells = sum(group.count * job.rows * group.width for group in job.groups)
    arithmetic = job.pairs * PAIR[backward] * (0.3 + 0.7 * share) + cells * job.lo.shape[1] * INTERVAL
    arithmetic *= OTHER.get(problem.dtype, 1.0) * (1.0 if problem.device == "cpu" else ACCELERATOR)
    return FIXED[backward] + steps * STEP[backward] + arithmetic
