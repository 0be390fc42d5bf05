"""What the call costs, in seconds of a CPU with two cores and AVX-512: ratios to other kernels are what counts."""

from maskkit import Problem

CALL = 20e-6
PAIR = 2.6e-9
"""A pair of query and key at width 64, forward."""
TRAINING = 3.7
"""Forward and backward, as a multiple of forward."""
BOOLEANS = 0.8e-9
"""More for each pair that is read from booleans."""
HALF = {"float16": 2.0, "bfloat16": 1.0, "float64": 2.0}
"""Other dtypes, as a multiple of float32."""
DROPOUT = 4.0
"""With dropout the weights are written out, and the fused call is lost."""
ACCELERATOR = 1e-3
"""A GPU, as a multiple of the CPU."""


def seconds(problem: Problem, form: str) -> float:
    """The estimate for one of the forms."""
    pairs = problem.batch * problem.heads * problem.queries * problem.keys
    each = PAIR * (problem.head_dim + problem.value_dim) / 128
    if form == "causal":
        each *= 0.5 + 256 / max(512, problem.keys)
    cost = pairs * (each + BOOLEANS * (form == "booleans")) * HALF.get(problem.dtype, 1.0)
    cost *= TRAINING if problem.training else 1.0
    cost *= DROPOUT if problem.dropout_p else 1.0
    return CALL + cost * (1.0 if problem.device == "cpu" else ACCELERATOR)
