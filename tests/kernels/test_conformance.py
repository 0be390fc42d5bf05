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

    def attend(self, query, key, value, mask, problem):
        key, value = (self.shared(x, problem.heads // problem.kv_heads) for x in (key, value))
        scores = self.scores(query.double(), key.double(), problem)
        if mask is not None:
            scores = scores.masked_fill(self.blocked(mask), -torch.inf)
        lse = scores.logsumexp(-1)
        out = self.output(self.weights(scores, lse[..., None]), value.double()).to(query.dtype)
        return (out, self.lse(lse)) if problem.return_lse else out

    def shared(self, x, group):
        return x.repeat_interleave(group, 1)

    def blocked(self, mask):
        return mask.blocked("torch", form="heads")

    def weights(self, scores, lse):
        blind = lse == -torch.inf
        return torch.where(blind, 0, (scores - torch.where(blind, 0, lse)).exp())

    def lse(self, lse):
        return lse

    def output(self, weights, value):
        return weights @ value


def variant(**changes):
    return frozen(kw_only=True)(type("Variant", (Plain,), changes))()


def test_a_kernel_that_is_right_passes():
    check_attention(variant(), "torch", every=512)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # masks
        ({"blocked": lambda self, mask: torch.tensor(False)}, "output is .* away from the definition"),
        ({"blocked": lambda self, mask: mask.allowed("torch", form="heads")}, "output is .* away"),
        ({"blocked": lambda self, mask: ~Plain.blocked(self, mask).mT}, "output is .* away|RuntimeError"),
        ({"blocked": lambda self, mask: Plain.blocked(self, mask)[:1]}, "output is .* away"),
        ({"blocked": lambda self, mask: Plain.blocked(self, mask)[:, :1]}, "output is .* away"),
        ({"weights": lambda self, scores, lse: scores.softmax(-1)}, "output without gradients is NaN in places"),
        ({"weights": lambda self, scores, lse: scores.clamp(min=-1e9).softmax(-1)}, "output is .* away"),
        # numbers
        ({"scores": lambda self, q, k, problem: q @ k.mT}, "output is .* away from the definition"),
        (
            {"scores": lambda self, q, k, problem: q @ k.mT * problem.head_dim**-0.5},
            r"\{'scale': .*\}: output is .* away from the definition",
        ),
        ({"shared": lambda self, x, group: x.repeat(1, group, 1, 1)}, "output is .* away from the definition"),
        ({"shared": lambda self, x, group: x}, "RuntimeError: The size of tensor"),
        ({"output": lambda self, weights, value: weights @ value + 1e-3}, "output is .* away"),
        ({"output": lambda self, weights, value: weights.half().double() @ value}, "away from the definition"),
        ({"lse": lambda self, lse: lse / 0.6931}, "log-sum-exp is .* away from the definition"),
        ({"lse": lambda self, lse: lse.clamp(min=-1e9)}, "log-sum-exp: where a row allows nothing it is not -inf"),
        # gradients
        (
            {"scores": lambda self, q, k, problem: (q + q.detach()) / 2 @ k.mT * problem.factor},
            "gradient of query is .* away",
        ),
        ({"output": lambda self, weights, value: (weights @ value).detach()}, "no gradient goes back"),
        ({"output": lambda self, weights, value: weights @ value.detach()}, "RuntimeError: .*not.* used in the graph"),
        # what it says of itself
        ({"fits": lambda self, problem: 0.0}, "dropout of 0.5 drops another share"),
        ({"fits": lambda self, problem: NoFit("never")}, "fits none of"),
        ({"attend": lambda self, *args: torch.zeros(1)}, "the shape|Error"),
    ],
)
def test_a_kernel_that_is_wrong_is_caught(changes, words):
    with pytest.raises(AssertionError, match=words):
        check_attention(variant(**changes), "torch", every=4096, compiled=False)


def test_the_reference_passes():
    check_kernel(Reference)
