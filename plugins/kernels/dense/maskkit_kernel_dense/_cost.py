"""What the call costs, in seconds of a core with AVX-512: ratios to other kernels are what counts."""

from maskkit import Problem

CALL = 25e-6
PAIR = {"torch": {False: 3.0e-9, True: 10.8e-9}, "jax": {False: 4.0e-9, True: 17.0e-9}}
"""A pair of query and key at width 64, by library: forward, and with the backward pass. JAX does not tell whether
gradients are asked for, and without a mask forward alone takes 6 to 9; said is what keeps both passes fast."""
BOOLEANS = {"torch": {False: 0.5e-9, True: 0.7e-9}, "jax": {False: 5.0e-9, True: 20.0e-9}}
"""More for each pair that is read from booleans, which JAX makes of its causal flag too."""
OTHER = {
    "torch": {False: {"float16": 1.7, "float64": 2.0}, True: {"float16": 7.5, "bfloat16": 0.74, "float64": 2.0}},
    "jax": {False: {"float16": 2.0, "float64": 2.0}, True: {"float16": 2.0, "float64": 2.0}},
}
"""Dtypes by library, forward and with the backward pass, as a multiple of float32."""
DROPOUT = 4.0
"""With dropout the weights are written out, and the fused call is lost."""
ACCELERATOR = 1e-3
"""A GPU, as a multiple of the CPU."""


def seconds(problem: Problem, form: str) -> float:
    """The estimate for one of the forms."""
    pairs = problem.batch * problem.heads * problem.queries * problem.keys
    each = PAIR[problem.library][problem.training] * (problem.head_dim + problem.value_dim) / 128
    if form == "causal" and problem.library == "torch":  # tiles of 256 rows and 512 keys are skipped
        each *= min(1, 0.5 + 256 / problem.keys)
    if form == "booleans" or (form == "causal" and problem.library == "jax"):
        each += BOOLEANS[problem.library][problem.training]
    other = OTHER[problem.library][problem.training].get(problem.dtype, 1.0)
    cost = pairs * each * other * (DROPOUT if problem.dropout_p else 1.0)
    return CALL + cost * (1.0 if problem.device == "cpu" else ACCELERATOR)
