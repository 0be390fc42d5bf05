"""The kit for kernels catches what it is there to catch."""

import pytest
import torch
from attrs import frozen
from maskkit import Kernel, NoFit
from maskkit.kernels.conformance import check_attention
from maskkit.kernels.reference import Reference
from maskkit.testing import check_kernel


class Plain(Kernel):
    """Attention by the formula.

    Source: Vaswani et al. 2017, arXiv:1706.03762.
    """

    name = "plain"

    def fits(self, problem):
        return NoFit("no dropout") if problem.dropout_p else 1.0

    def scores(self, q, k, problem):
        return q @ k.mT * problem.factor

    def softmax(self, scores):
        return scores.softmax(-1).nan_to_num(0)

    def attend(self, query, key, value, mask, problem):
        key, value = (x.repeat_interleave(problem.heads // problem.kv_heads, 1) for x in (key, value))
        scores = self.scores(query.double(), key.double(), problem)
        if mask is not None:
            scores = scores.masked_fill(~mask.allowed("torch", form="heads"), -torch.inf)
        lse = scores.logsumexp(-1)
        blind = (lse == -torch.inf)[..., None]
        weights = torch.where(blind, 0, (scores - torch.where(blind, 0, lse[..., None])).exp())
        out = self.output(weights, value.double()).to(query.dtype)
        return (out, lse) if problem.return_lse else out

    def output(self, weights, value):
        return weights @ value


def variant(**changes):
    return frozen(kw_only=True)(type("Variant", (Plain,), changes))()


def test_a_kernel_that_is_right_passes():
    check_attention(variant(), "torch", every=512)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scores": lambda self, q, k, problem: q @ k.mT}, "output is .* away from the definition"),
        (
            {"scores": lambda self, q, k, problem: (q + q.detach()) / 2 @ k.mT * problem.factor},
            "gradient of query is .* away",
        ),
        ({"output": lambda self, weights, value: weights @ value + 1e-3}, "output is .* away"),
        ({"output": lambda self, weights, value: weights.half().double() @ value}, "away from the definition"),
        ({"fits": lambda self, problem: 0.0}, "dropout of 0.5 drops another share"),
        ({"fits": lambda self, problem: NoFit("never")}, "fits none of"),
    ],
)
def test_a_kernel_that_is_wrong_is_caught(changes, words):
    with pytest.raises((AssertionError, RuntimeError), match=words):
        check_attention(variant(**changes), "torch", every=4096)


def test_the_reference_passes():
    check_kernel(Reference)
