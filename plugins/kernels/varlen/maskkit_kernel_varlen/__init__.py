"""Varlen: packed documents on CUDA by Torch's variable-length attention."""

from typing import Any

from attrs import frozen
from maskkit import Cost, Kernel, Mask, NoFit, Problem, hookimpl
from maskkit_kernel_varlen._cost import seconds
from maskkit_kernel_varlen._documents import documents_of

WIDEST = 256
"""The widest query, key and value that FlashAttention takes."""
MOST = 2**16 - 1
"""The most documents, and heads: each is an axis of a grid of CUDA."""


@frozen(kw_only=True)
class Varlen(Kernel):
    """`torch.nn.attention.varlen.varlen_attn` over the documents of all samples, one behind the other.

    Every document has as many queries as keys; in all of them a query sees the whole document, or in all of them what
    is not behind it. Samples may have documents of their own, heads may not.
    """

    name = "varlen"
    traceable = False

    def fits(self, problem: Problem) -> float | NoFit:
        if problem.library != "torch" or not problem.device.startswith("cuda"):
            return NoFit(f"it computes on Torch on CUDA, not on {problem.library} on {problem.device}")
        if problem.dropout_p:
            return NoFit("varlen_attn drops nothing; give dropout_p=0.0")
        if problem.return_lse:
            return NoFit("varlen_attn passes on no gradient of the log-sum-exp; give return_lse=False")
        if problem.dtype not in ("float16", "bfloat16"):
            return NoFit(f"FlashAttention takes float16 and bfloat16, not {problem.dtype}; give query.bfloat16()")
        if max(problem.head_dim, problem.value_dim) > WIDEST:
            return NoFit(f"FlashAttention takes widths to {WIDEST}, not {problem.head_dim} and {problem.value_dim}")
        documents = documents_of(problem)
        if isinstance(documents, NoFit):
            return documents
        if max(documents.count, problem.heads) > MOST:
            return NoFit(f"CUDA starts it for {MOST:,} documents and heads, not {documents.count:,}, {problem.heads:,}")
        from maskkit_kernel_varlen import _torch

        if lacking := _torch.lacking(problem.device):
            return NoFit(lacking)
        pairs = problem.heads * documents.pairs
        return Cost(seconds(problem, pairs), pairs=pairs, nbytes=documents.nbytes)

    def attend(self, query: Any, key: Any, value: Any, mask: Mask | None, problem: Problem) -> Any:
        from maskkit_kernel_varlen import _torch

        return _torch.attend(query, key, value, documents_of(problem), problem)


@hookimpl
def maskkit_kernels():
    return [Varlen]
