"""Dense: the library's own fused attention, under booleans."""

from typing import Any

from attrs import frozen
from maskkit import Cost, Kernel, Mask, NoFit, Problem, hookimpl
from maskkit_kernel_dense._cost import seconds
from maskkit_kernel_dense._forms import form_of


@frozen(kw_only=True)
class Dense(Kernel):
    """One call of `torch.nn.functional.scaled_dot_product_attention` or `jax.nn.dot_product_attention`.

    Without a mask where it allows everything, with the causal flag where it is exactly that; else with booleans, made
    once per mask and device, for as long as the mask lives. What it costs does not depend on what the mask allows.
    """

    name = "dense"

    def fits(self, problem: Problem) -> float | NoFit:
        if problem.library not in ("torch", "jax"):
            return NoFit("it calls Torch or JAX; give arrays of one of them")
        if problem.return_lse and not problem.empty:
            return NoFit("the library's call gives no log-sum-exp")
        if problem.library == "jax":
            if problem.dropout_p:
                return NoFit("jax.nn.dot_product_attention drops nothing; give dropout_p=0.0")
            if problem.head_dim != problem.value_dim:
                return NoFit("jax.nn.dot_product_attention takes values as wide as keys")
        form = form_of(problem)
        pairs = problem.batch * problem.heads * problem.queries * problem.keys
        nbytes = 0
        if form == "booleans" and problem.mask is not None:
            nbytes = problem.queries * problem.keys
            for size in problem.mask.shape[:-2]:
                nbytes *= size
        return Cost(seconds(problem, form), pairs=pairs // 2 if form == "causal" else pairs, nbytes=nbytes)

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        if problem.library == "torch":
            from maskkit_kernel_dense import _torch as library
        else:
            from maskkit_kernel_dense import _jax as library
        return library.attend(query, key, value, mask, problem)


@hookimpl
def maskkit_kernels():
    return [Dense]
