"""Attention a few rows at a time: a kernel that needs no array of all scores."""

import math

from attrs import field, frozen
from maskkit import Cost, Kernel, NoFit, hookimpl, positive

SECONDS_PER_PAIR = 2e-8


@frozen(kw_only=True)
class Rows(Kernel):
    """The formula, `rows` queries at a time, in plain Torch: memory is bounded, and autograd differentiates it.

    Source: Vaswani et al. 2017, arXiv:1706.03762, equation 1.

    Attributes:
        rows: queries whose scores are held at once.
    """

    name = "rows"
    samples = ({}, dict(rows=3))
    rows: int = field(default=256, validator=positive)

    def fits(self, problem):
        if problem.library != "torch":
            return NoFit("it computes on Torch; give tensors")
        if problem.dropout_p:
            return NoFit("it drops nothing; give dropout_p=0.0")
        pairs = problem.batch * problem.heads * problem.queries * problem.keys
        held = problem.batch * problem.heads * min(self.rows, problem.queries) * problem.keys
        return Cost(pairs * SECONDS_PER_PAIR, pairs=pairs, nbytes=8 * held)

    def attend(self, query, key, value, mask, problem):
        import torch

        wide = torch.float64 if query.dtype == torch.float64 else torch.float32
        group = problem.heads // problem.kv_heads
        key, value = (x.repeat_interleave(group, 1).to(wide) for x in (key, value))
        outs, sums = [], []
        for first in range(0, problem.queries, self.rows):
            some = slice(first, first + self.rows)
            scores = query[:, :, some].to(wide) @ key.mT * problem.factor
            if mask is not None:
                scores = scores.masked_fill(mask[..., some, :].blocked("torch", form="heads"), -math.inf)
            lse = scores.logsumexp(-1, keepdim=True)
            weights = (scores - lse.masked_fill(lse == -math.inf, 0)).exp()  # a row that allows nothing: all zeros
            outs.append(weights @ value)
            sums.append(lse[..., 0])
        out = torch.cat(outs, 2).to(query.dtype)
        return (out, torch.cat(sums, 2)) if problem.return_lse else out


@hookimpl
def maskkit_kernels():
    return [Rows]
