"""Flex: compiled FlexAttention on CUDA, one compile for all masks with as many intervals."""

from typing import Any

from attrs import frozen
from maskkit import Cost, Kernel, Mask, NoFit, Problem, hookimpl
from maskkit_kernel_flex._cost import seconds
from maskkit_kernel_flex._forms import blocks_of

WIDEST = 256
"""The widest query, key and value that FlexAttention has tiles for; narrow ones are filled up with zeros."""
MOST = 2**16 - 1
"""The most samples, and heads: each is an axis of a grid of CUDA."""


@frozen(kw_only=True)
class Flex(Kernel):
    """`torch.nn.attention.flex_attention`, compiled, under the `BlockMask` of the mask's spans.

    Its `mask_mod` looks at tensors of interval ends, so that other masks with as many intervals compile nothing new;
    a mask without few intervals per row is looked up in booleans. Both are made once per mask and device.
    """

    name = "flex"
    traceable = False

    def fits(self, problem: Problem) -> float | NoFit:
        if problem.library != "torch" or not problem.device.startswith("cuda"):
            return NoFit(f"it computes on Torch on CUDA, not on {problem.library} on {problem.device}")
        if problem.dropout_p:
            return NoFit("FlexAttention drops nothing; give dropout_p=0.0")
        if problem.dtype not in ("float16", "bfloat16", "float32"):
            return NoFit(f"FlexAttention takes float16, bfloat16 and float32, not {problem.dtype}; give query.float()")
        if max(problem.head_dim, problem.value_dim) > WIDEST:
            return NoFit(f"FlexAttention has tiles for widths to {WIDEST}, not {problem.head_dim}, {problem.value_dim}")
        if problem.empty:
            return NoFit("an array is empty: there is nothing to compute")
        if max(problem.batch, problem.heads) > MOST:
            return NoFit(f"CUDA starts it for {MOST:,} samples and heads, not {problem.batch:,} and {problem.heads:,}")
        if problem.mask is not None and not problem.mask.on_host:
            return NoFit("the mask's values are on a device; give it arrays on the host")
        from maskkit_kernel_flex import _torch

        if lacking := _torch.lacking():
            return NoFit(lacking)
        blocks = blocks_of(problem)
        if blocks is None:
            return NoFit("the mask has no few intervals per row, and is too large to look for its blocks")
        return Cost(seconds(problem, blocks), pairs=blocks.pairs, nbytes=blocks.nbytes)

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        from maskkit_kernel_flex import _torch

        return _torch.attend(query, key, value, mask, problem)


@hookimpl
def maskkit_kernels():
    return [Flex]
