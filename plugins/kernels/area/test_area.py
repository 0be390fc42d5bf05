"""The area kernel is exact, computes little more than what is allowed, and does without Torch's private call."""

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
import maskkit
from maskkit.kernels.conformance import check_small_masks
from maskkit.testing import check_kernel
from maskkit_kernel_area import Area, _cost, _fused, _plan, _torch


def problem(mask, heads=1, **more):
    queries, keys = mask.shape[-2:]
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=heads, kv_heads=heads)
    return maskkit.Problem(mask=mask, **{**sizes, **more})


@pytest.fixture
def unfused(monkeypatch):
    """A Torch without the private call."""
    monkeypatch.setattr(_fused, "fused", lambda: False)
    monkeypatch.setattr(_plan, "_found", type(_plan._found)())


def test_contract():
    check_kernel(Area)


@pytest.mark.slow
def test_all_masks_of_four_by_four():
    check_small_masks(Area(), "torch")


def test_contract_without_the_private_call(unfused):
    check_kernel(Area, every=256)


def test_this_torch_has_the_private_call():
    """Else every figure of speed is another; the check itself is held by the test without it."""
    assert _fused.fused()


@pytest.mark.parametrize(
    ("expression", "most", "calls"),
    [
        ("sliding_window(window_size=256)", 1.6, 12),
        ("block_diagonal(block_size=512)", 1.0, 1),
        ("causal", 1.01, 12),
        ("sink(window_size=256)", 1.6, 16),
    ],
)
def test_what_is_computed_is_little_more_than_what_is_allowed(expression, most, calls):
    asked = problem(maskkit.parse(expression, seq_len=32768))
    [spans], _ = asked.planes()
    [(_, found)], _ = _plan.job(asked, None, backward=False)
    assert maskkit.Cost(1).pairs is None
    assert Area().fits(asked).pairs <= most * spans.counts().sum()
    assert sum(map(len, found)) <= calls


def test_memory_follows_the_rows():
    short, long = (
        Area().fits(problem(maskkit.create("sink", seq_len=n, window_size=256), training=True)).nbytes
        for n in (8192, 32768)
    )
    assert long <= 4.5 * short
    assert long < 2**25


class Largest(TorchDispatchMode):
    """Remembers the most bytes that an operator's result takes."""

    nbytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        made = (x.untyped_storage().nbytes() for x in tree_leaves(out) if isinstance(x, torch.Tensor))
        self.nbytes = max(self.nbytes, *made, 0)
        return out


@pytest.mark.parametrize("name", ["sliding_window", "sink", "causal"])
def test_no_array_is_larger_than_those_given(name):
    """Forward and backward, so memory follows the length; the dense call is no such."""
    q = torch.randn(1, 2, 4096, 64, requires_grad=True)
    options = {} if name == "causal" else {"window_size": 64}
    mask = maskkit.create(name, seq_len=4096, **options)
    with Largest() as largest:
        maskkit.attend(q, q, q, mask, kernel="area").sum().backward()
    assert largest.nbytes <= 2 * q.nbytes
    if name != "causal":  # which is a flag there
        with Largest() as dense:
            maskkit.attend(q, q, q, mask, kernel="dense")
        assert dense.nbytes > 2 * q.nbytes


def test_dense_masks_are_left_to_the_dense_call():
    """Where nothing can be saved, the estimate says so."""
    rng = np.random.default_rng(0)
    mask = maskkit.from_array(rng.random((256, 64)) < 0.5, true="allowed")
    q, k, v = torch.randn(1, 2, 256, 16), *torch.randn(2, 1, 2, 64, 16)
    assert maskkit.plan(mask, q, k, v).kernel.name == "dense"
    window = maskkit.create("sliding_window", seq_len=4096, window_size=64)
    q = torch.randn(1, 2, 4096, 16)
    assert maskkit.plan(window, q, q, q).kernel.name == "area"


def test_heads_and_samples_with_equal_masks_are_planned_once():
    window = maskkit.create("sliding_window", seq_len=64, window_size=4)
    causal = maskkit.create("causal", seq_len=64)
    asked = problem(maskkit.stack([window, causal, window, causal]), heads=4, batch=3)
    found = _plan.job(asked, None, backward=False)
    assert [sum(lanes.count for lanes in every) for every, _ in found.planes] == [6, 6]


def test_a_neighborhood_is_computed_in_strips(monkeypatch):
    """Of 64 x 64 places, each with 7 x 7 neighbors: 14 x 10 keys for 8 x 4 of them, and none gathered for each.

    Strips are all alike but the first and the last. Lanes are brought into them one after the other, as they are where
    they are large.
    """
    monkeypatch.setattr(_torch, "_TEMPORARY", 2**17)
    mask = maskkit.create("neighborhood", height=64, width=64, kernel_size=7)
    asked = problem(mask)
    assert Area().fits(asked).pairs <= 3 * 4096 * 49
    job = _plan.job(asked, None, backward=False)
    assert [one.keys.strips for one in job.grid] == [1, 6, 1]
    places = torch.arange(4096)[None]
    every = torch.cat([_torch._taken(one.queries, places).flatten() for one in job.grid])
    assert every.sort()[0].tolist() == list(range(4096))
    assert all(call.runs is None for _, layers in job.planes for calls in layers for call in calls)
    q, k, v = (torch.randn(1, heads, 4096, 16, requires_grad=True) for heads in (4, 2, 2))
    assert [lanes for _, _, lanes, _ in _torch._by_strips(job, k[0])][1:3] == [slice(0, 1), slice(1, 2)]
    found, expected = (maskkit.attend(q, k, v, mask, kernel=kernel, enable_gqa=True) for kernel in ("area", "dense"))
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(x.sum(), (q, k, v)) for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temporary", [2**10, 2**20])
@pytest.mark.parametrize("sizes", [(16, 20, 5), (80, 9, 3), (33, 17, 7), (24, 24, 15)], ids=str)
def test_strips_of_any_grid_are_exact(monkeypatch, sizes, temporary):
    """Columns that are no multiple of a strip's, under grouped heads, in half precision too."""
    monkeypatch.setattr(_cost, "reordered", lambda *_: -1.0)  # whatever it costs
    monkeypatch.setattr(_plan, "_found", type(_plan._found)())
    monkeypatch.setattr(_torch, "_TEMPORARY", temporary)
    mask = maskkit.create("neighborhood", **dict(zip(("height", "width", "kernel_size"), sizes, strict=True)))
    assert _plan.job(problem(mask), None, backward=False).grid
    n = sizes[0] * sizes[1]
    q, k, v = (torch.randn(2, heads, n, 8, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2))
    found, expected = (maskkit.attend(q, k, v, mask, kernel=kernel, enable_gqa=True) for kernel in ("area", "dense"))
    torch.testing.assert_close(found, expected)
    grads = [torch.autograd.grad(x.square().sum(), (q, k, v)) for x in (found, expected)]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)
    halves = [x.detach().to(torch.bfloat16) for x in (q, k, v)]
    half = maskkit.attend(*halves, mask, kernel="area", enable_gqa=True)
    torch.testing.assert_close(half.double(), expected, atol=0.02, rtol=0.02)


def repeated(rows, blocked):
    """A picture with several intervals in a row, again and again along the diagonal; a row may see nothing."""
    picture = (np.arange(rows)[:, None] * 5 + np.arange(rows)) % 7 > 2
    picture[blocked] = False
    return maskkit.from_array(np.kron(np.eye(4, dtype=bool), picture), true="allowed")


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("blocked", [(), (5,)], ids=["all rows see", "one sees nothing"])
@pytest.mark.parametrize("heads", [1, 2], ids=["each head its keys", "two heads one"])
def test_documents_side_by_side_are_one_call_whose_result_is_the_whole(dtype, blocked, heads):
    """Unless two heads share keys; forward and backward, and rows that see nothing among them."""
    torch.manual_seed(0)
    mask = repeated(32, list(blocked))
    sizes = dict(heads=2 * heads, kv_heads=2, batch=3, dtype=str(dtype)[6:])
    q, k, v = (torch.randn(3, h, 128, 64, dtype=dtype, requires_grad=True) for h in (2 * heads, 2, 2))
    job = _plan.job(problem(mask, **sizes), None, backward=False)
    assert (_torch._apart(job, q.flatten(0, 1), k.flatten(0, 1)) is not None) == (heads == 1)
    found, lse = maskkit.attend(q, k, v, mask, enable_gqa=True, return_lse=True, kernel="area")
    wide = [x.detach().double().requires_grad_() for x in (q, k, v)]
    keys, values = (x.repeat_interleave(heads, 1) for x in wide[1:])
    scores = (wide[0] @ keys.mT / 8).masked_fill(~mask.allowed("torch"), -torch.inf)
    sees = mask.allowed("torch").any(-1)
    expected = torch.where(sees[:, None], scores, 0).softmax(-1).where(sees[:, None], 0) @ values
    close = dict(atol=0.03, rtol=0.03) if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found.double(), expected, **close)
    torch.testing.assert_close(lse.double(), scores.logsumexp(-1), **close)
    for one, other in zip(
        torch.autograd.grad(found.square().sum(), (q, k, v)),
        torch.autograd.grad(expected.square().sum(), wide),
        strict=True,
    ):
        torch.testing.assert_close(one.double(), other, **close)


def test_the_log_sum_exp_has_a_gradient():
    mask = maskkit.create("sliding_window", seq_len=40, window_size=7)
    q, k, v = (torch.randn(1, 2, 40, 8, dtype=torch.float64, requires_grad=True) for _ in range(3))
    out, lse = maskkit.attend(q, k, v, mask, return_lse=True, kernel="area")
    weights = torch.randn_like(lse)
    found = torch.autograd.grad((lse * weights).sum() + out.sum(), (q, k, v))
    scores = (q @ k.mT * 8**-0.5).masked_fill(~mask.allowed("torch"), -torch.inf)
    expected = (scores.logsumexp(-1) * weights).sum() + (scores.softmax(-1) @ v).sum()
    for one, other in zip(found, torch.autograd.grad(expected, (q, k, v)), strict=True):
        torch.testing.assert_close(one, other)


def test_arrays_need_not_be_contiguous():
    mask = maskkit.create("sliding_window", seq_len=40, window_size=7)
    q, k, v = torch.randn(3, 2, 40, 4, 8).transpose(2, 3)
    expected = maskkit.attend(q.contiguous(), k.contiguous(), v.contiguous(), mask, kernel="area")
    assert torch.equal(maskkit.attend(q, k, v, mask, kernel="area"), expected)


def test_keys_that_no_block_reads_may_be_anything():
    mask = maskkit.create("block_diagonal", seq_len=64, block_size=32)
    q, k, v = torch.randn(3, 1, 1, 64, 8)
    expected = maskkit.attend(q, k, v, mask, kernel="area")[:, :, :32]
    k[:, :, 32:], v[:, :, 32:] = torch.nan, torch.inf
    assert torch.equal(maskkit.attend(q, k, v, mask, kernel="area")[:, :, :32], expected)


def test_float16_is_computed_in_float32():
    """Sums too, so that what comes is what float32 gives, rounded; gradients likewise."""
    mask = maskkit.create("sliding_window", seq_len=96, window_size=9)
    halves = [torch.randn(1, 2, 96, 8, dtype=torch.float16, requires_grad=True) for _ in range(3)]
    wide = [x.detach().float().requires_grad_() for x in halves]
    outs = [maskkit.attend(*arrays, mask, kernel="area") for arrays in (halves, wide)]
    grads = [torch.autograd.grad(out.sum(), arrays) for out, arrays in zip(outs, (halves, wide), strict=True)]
    for half, full in zip((outs[0], *grads[0]), (outs[1], *grads[1]), strict=True):
        assert half.dtype == torch.float16
        assert torch.equal(half, full.half())


def test_autocast_gives_its_dtype():
    mask = maskkit.create("sliding_window", seq_len=64, window_size=9)
    q, k, v = (torch.randn(1, 2, 64, 8, requires_grad=True) for _ in range(3))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = maskkit.attend(q, k, v, mask, kernel="area")
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert q.grad.dtype == torch.float32
    torch.testing.assert_close(out.float(), maskkit.attend(q, k, v, mask, kernel="area"), atol=3e-2, rtol=3e-2)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"dropout_p": 0.1}, "area: it drops nothing; give dropout_p=0.0")],
)
def test_what_it_does_not_do_is_refused(options, words):
    q = torch.randn(1, 1, 4, 8)
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.attend(q, q, q, kernel="area", **options)


def test_masks_without_spans_are_refused():
    mask = maskkit.create("random", seq_len=8192, seed=1, mask_probability=0.5)
    q = torch.randn(1, 1, 8192, 8)
    with pytest.raises(maskkit.ConfigError, match="area: the mask has no few intervals per row"):
        maskkit.attend(q, q, q, mask, kernel="area")
