"""`maskkit.attend`: what it computes, how a kernel is chosen, and what it refuses in which words."""

import gc
import weakref

import numpy as np
import pytest
from attrs import frozen
import maskkit
from maskkit import Cost, Kernel, NoFit, limits
from maskkit.kernels.attend import plan_of
from maskkit.limits import Recent

RNG = np.random.default_rng(0)
Q, K, V = (RNG.normal(size=(2, 4, 6, 8)) for _ in range(3))
CAUSAL = maskkit.create("causal", seq_len=6)


@frozen(kw_only=True)
class Mean(Kernel):
    """A kernel of a third party."""

    name = "mean"
    factor: float = 1.0

    def fits(self, problem):
        return Cost(0.0, pairs=1) if problem.queries == 6 else NoFit("it takes six queries")

    def attend(self, query, key, value, mask, problem):
        return query * 0 + self.factor


def softmax(q, k, v, allowed):
    """Row by row, over the allowed keys alone."""
    out = np.zeros((*q.shape[:-1], v.shape[-1]))
    for b, h, i in np.ndindex(q.shape[:-1]):
        keys = np.flatnonzero(allowed[b, h, i])
        if keys.size:
            scores = k[b, h, keys] @ q[b, h, i] / q.shape[-1] ** 0.5
            weights = np.exp(scores)
            out[b, h, i] = weights @ v[b, h, keys] / weights.sum()
    return out


def test_numpy_arrays_go_through_the_definition():
    mask = CAUSAL & ~maskkit.create("banded", seq_len=6, band_width=1)  # its first row sees nothing
    expected = softmax(Q, K, V, np.broadcast_to(mask.allowed(), (2, 4, 6, 6)))
    np.testing.assert_allclose(maskkit.attend(Q, K, V, mask), expected, atol=1e-14)
    assert not maskkit.attend(Q, K, V, mask)[:, :, 0].any()


def test_heads_are_shared_in_groups():
    few = K[:, ::2], V[:, ::2]
    expected = maskkit.attend(Q, *(x.repeat(2, axis=1) for x in few), CAUSAL)
    np.testing.assert_array_equal(maskkit.attend(Q, *few, CAUSAL, enable_gqa=True), expected)


def test_the_log_sum_exp_is_that_of_the_scores():
    _, lse = maskkit.attend(Q, K, V, return_lse=True, scale=0.5)
    np.testing.assert_allclose(lse, np.log(np.exp(0.5 * Q @ K.swapaxes(-1, -2)).sum(-1)), atol=1e-14)
    _, lse = maskkit.attend(Q, K, V, CAUSAL & ~CAUSAL, return_lse=True)
    assert (lse == -np.inf).all()


def test_a_third_party_kernel_is_asked_and_chosen():
    with maskkit.register(Mean):
        assert maskkit.plan(CAUSAL, Q, K, V).kernel == Mean()
        assert (maskkit.attend(Q, K, V, CAUSAL) == 1).all()
        assert (maskkit.attend(Q, K, V, CAUSAL, kernel=Mean(factor=2.0)) == 2).all()
        assert not np.array_equal(maskkit.attend(Q, K, V, CAUSAL, kernel="reference"), np.ones_like(Q))
        assert "kernel.mean" in maskkit.names()
    assert maskkit.plan(CAUSAL, Q, K, V).kernel.name == "reference"


def test_the_plan_prints_as_a_table_with_costs_and_reasons():
    with maskkit.register(Mean):
        lines = str(maskkit.plan(CAUSAL[:5], Q[:, :, :5], K, V)).splitlines()
    assert lines[1].endswith("batch 2, heads 4, 5 x 6 x 8; pairs allowed: 120 (50.00%)")
    assert lines[2].split() == ["kernel", "estimate", "pairs", "bytes"]
    assert any(line.split()[0] == "mean" and line.endswith("it takes six queries") for line in lines)
    assert any(line.split()[0] == "reference" and line.endswith("chosen") for line in lines)


def test_equal_masks_have_one_plan():
    plans = [maskkit.plan(maskkit.create("causal", seq_len=6), Q, K, V) for _ in range(2)]
    assert plans[0] is plans[1]
    assert maskkit.plan(CAUSAL, Q, K, V, scale=2.0) is not plans[0]


def test_plans_are_kept_within_so_many_bytes(monkeypatch):
    monkeypatch.setattr(limits, "plan_bytes", 4000)
    mask = maskkit.from_array(RNG.random((6, 6)) < 0.5, true="allowed")
    kept = weakref.ref(plan_of(maskkit.plan(mask, Q, K, V).problem))
    for scale in range(1, 6):
        maskkit.plan(mask, Q, K, V, scale=scale)
    gc.collect()
    assert kept() is None


def test_what_was_computed_lately_is_dropped_by_age(monkeypatch):
    monkeypatch.setattr(limits, "plan_bytes", 16)
    recent = Recent()
    for key in "abac":
        recent.get(key, lambda: np.zeros(1))
    made = []
    for key in "acb":
        recent.get(key, lambda key=key: made.append(key) or np.zeros(1))
    assert made == ["b"]
    assert recent.nbytes == 16


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((Q[0], K, V), {}, r"query must be an array \(batch, heads, length, width\)"),
        ((Q, K[:, :, :, :4], V), {}, "key has 4 along the axis 'width', and must have 8"),
        ((Q, K[:1], V), {}, "key has 1 along the axis 'batch', and must have 2"),
        ((Q, K, V[:, :, :5]), {}, "value has 5 along the axis 'key', and must have 6"),
        ((Q, K[:, :2], V[:, :2]), {}, "query has 4 heads, key and value 2; give enable_gqa=True"),
        ((Q, K[:, :3], V[:, :3]), {"enable_gqa": True}, "query has 4 heads, key and value 3; make one a multiple"),
        ((Q, K.astype("float32"), V), {}, "must have one dtype, got query float64, key float32, value float64"),
        ((Q.astype(int), K.astype(int), V.astype(int)), {}, "query must be floating, got int64"),
        ((Q, K, V, CAUSAL[:, :5]), {}, "5 along the axis 'key', the arrays have 6"),
        ((Q[:, :, -1:], K, V, CAUSAL), {}, r"6 along the axis 'query', the arrays have 1; cut the mask, as mask\[-1:"),
        ((Q, K, V, maskkit.stack([CAUSAL] * 3)), {}, "3 along the axis 'head', the arrays have 4"),
        ((Q, K, V, maskkit.stack([CAUSAL] * 4, "batch")), {}, "4 along the axis 'batch', the arrays have 2"),
        ((Q, K, V), {"scale": -1.0}, "scale must not be negative, got -1.0"),
        ((Q, K, V), {"scale": float("nan")}, "scale must not be negative, got nan"),
        ((Q, K, V), {"dropout_p": 1.0}, r"dropout_p must be in \[0, 1\), got 1.0"),
        ((Q, K, V), {"dropout_p": 0.1}, "reference: it drops nothing"),
        ((Q, K, V), {"kernel": "referense"}, "Unknown kernel 'referense'.*pip install maskkit-kernel-referense"),
    ],
)
def test_bad_arguments_are_refused_in_words(args, options, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.attend(*args, **options)


def test_arrays_are_no_masks():
    with pytest.raises(TypeError, match=r'write maskkit.from_array\(array, true="allowed"\)'):
        maskkit.attend(Q, K, V, CAUSAL.allowed())


def test_libraries_do_not_mix():
    torch = pytest.importorskip("torch")
    with pytest.raises(maskkit.ConfigError, match="must have one library, got query torch, key numpy, value numpy"):
        maskkit.attend(torch.tensor(Q), K, V)


@pytest.mark.parametrize("shape", [(0, 6, 6), (2, 0, 6), (2, 6, 0)])
@pytest.mark.parametrize("library", ["numpy", "torch", "jax.numpy"])
def test_empty_arrays_give_what_they_must(library, shape):
    """No samples or queries: nothing. No keys: rows that see nothing."""
    zeros = pytest.importorskip(library).zeros
    batch, queries, keys = shape
    out, lse = maskkit.attend(zeros((batch, 2, queries, 4)), *[zeros((batch, 2, keys, 4))] * 2, return_lse=True)
    assert np.array_equal(out, np.zeros((batch, 2, queries, 4)))
    assert np.array_equal(lse, np.full((batch, 2, queries), -np.inf))
    if library == "torch":
        arrays = [zeros((batch, 2, n, 4), requires_grad=True) for n in (queries, keys, keys)]
        maskkit.attend(*arrays).sum().backward()
        assert all(not x.grad.any() for x in arrays)
