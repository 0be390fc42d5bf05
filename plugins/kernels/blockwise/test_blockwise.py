"""The blockwise kernel is exact under JAX's transformations, and compiles once for equal masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
import maskkit
from maskkit.kernels.conformance import Case, check_case
from maskkit.testing import check_kernel
from maskkit_kernel_blockwise import Blockwise, _jax, _plan


def arrays(batch=1, heads=2, kv_heads=2, n=96, width=8, dtype="float32"):
    rng = np.random.default_rng(0)
    sizes = ((batch, heads, n, width), (batch, kv_heads, n, width), (batch, kv_heads, n, width))
    return [jnp.asarray(rng.normal(size=size), dtype) for size in sizes]


def problem(mask, heads=1, **more):
    queries, keys = mask.shape[-2:]
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=heads, kv_heads=heads)
    return maskkit.Problem(mask=mask, library="jax", **{**sizes, **more})


WINDOW = maskkit.create("sliding_window", seq_len=96, window_size=9)


def test_contract():
    check_kernel(Blockwise, every=2048)


@pytest.mark.slow
def test_all_masks_of_four_by_four():
    check_kernel(Blockwise, every=1)


@given(st.data())
@settings(max_examples=8, deadline=None)
def test_any_mask_is_exact(data):
    """Of one shape, for JAX compiles for every mask."""
    allowed = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1))).random((40, 30)) < data.draw(st.floats(0, 1))
    shapes = (1, 2, 40, 4), (1, 1, 30, 4), (1, 1, 30, 4)
    case = Case(maskkit.from_array(allowed, true="allowed"), *shapes, {})
    assert check_case(Blockwise(rows=data.draw(st.sampled_from([None, 1, 7, 16]))), "jax", case, "float32")


@pytest.mark.parametrize(
    "expression",
    [
        "causal",
        "document(lengths=[3, 40, 1, 30, 22]) & causal",
        "sink(window_size=9)",
        "prefix_lm(prefix_len=20)",
        "~causal",
    ],
)
def test_what_is_computed_covers_what_is_allowed(expression):
    """Every allowed pair stands in exactly one block, and blocks are not much more."""
    mask = maskkit.parse(expression, seq_len=96)
    job = _plan.job(problem(mask), 16, backward=False)
    times = np.zeros(mask.shape, int)
    for group in job.groups:
        for i in range(group.count):
            block = [np.asarray(array[i]) for array in group.blocks]
            _, _, _, _, first, last, _, low, high = block
            for start, stop in zip(low.tolist(), high.tolist(), strict=True):
                times[first:last, start:stop] += 1
    assert (times[mask.allowed()] == 1).all()
    assert (times <= 1).all()
    assert times.sum() < mask.allowed().sum() + 96 * 64


def test_equal_masks_are_compiled_once():
    _jax._calls.__init__()
    traced = []

    @jax.jit
    def call(q, k, v):
        traced.append(1)
        mask = maskkit.create("sliding_window", seq_len=96, window_size=9)
        return maskkit.attend(q, k, v, mask, kernel="blockwise")

    inputs = arrays()
    for _ in range(3):
        mask = maskkit.create("sliding_window", seq_len=96, window_size=9)
        out = maskkit.attend(*inputs, mask, kernel="blockwise")
        np.testing.assert_allclose(call(*inputs), out, atol=1e-6)
    assert len(traced) == 1
    [(made, _)] = _jax._calls._found.values()
    assert made.run._cache_size() <= 2  # alone, and inside of `call`


@pytest.mark.parametrize("transform", ["vmap", "jit_grad", "vmap_grad"])
def test_transformations_of_jax(transform):
    q, k, v = arrays(batch=3)

    def attention(q, k, v, kernel):
        return maskkit.attend(q, k, v, WINDOW, kernel=kernel)

    def mapped(q, k, v, kernel):
        one = jax.vmap(lambda q, k, v: attention(q[None], k[None], v[None], kernel)[0])
        return one(q, k, v)

    def result(kernel):
        if transform == "vmap":
            return mapped(q, k, v, kernel)
        call = attention if transform == "jit_grad" else mapped
        return jax.jit(jax.grad(lambda q, k, v: (call(q, k, v, kernel) ** 2).sum(), (0, 1, 2)))(q, k, v)

    for found, expected in zip(jax.tree.leaves(result("blockwise")), jax.tree.leaves(result("dense")), strict=True):
        np.testing.assert_allclose(found, expected, atol=5e-6)


def test_the_log_sum_exp_has_a_gradient():
    q, k, v = arrays()
    allowed = WINDOW.allowed()

    def by_formula(q, k, v):
        scores = jnp.where(allowed, jnp.einsum("bhqd,bhkd->bhqk", q, k) * 8**-0.5, -jnp.inf)
        return (jax.nn.logsumexp(scores, -1) ** 2).sum()

    def by_kernel(q, k, v):
        return (maskkit.attend(q, k, v, WINDOW, kernel="blockwise", return_lse=True)[1] ** 2).sum()

    for found, expected in zip(
        jax.grad(by_kernel, (0, 1))(q, k, v), jax.grad(by_formula, (0, 1))(q, k, v), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 5e-3), ("bfloat16", 4e-2)])
def test_half_precision(dtype, tolerance):
    """Scores and sums are float32."""
    inputs = arrays(dtype=dtype)
    out = maskkit.attend(*inputs, WINDOW, kernel="blockwise")
    assert out.dtype == dtype
    exact = maskkit.attend(*(np.asarray(x, "float64") for x in inputs), WINDOW, kernel="reference")
    np.testing.assert_allclose(np.asarray(out, "float64"), exact, atol=tolerance)


def test_float64_where_jax_has_it():
    with jax.enable_x64(True):
        inputs = arrays(dtype="float64")
        out = maskkit.attend(*inputs, WINDOW, kernel="blockwise")
        exact = maskkit.attend(*(np.asarray(x) for x in inputs), WINDOW, kernel="reference")
        assert out.dtype == "float64"
        np.testing.assert_allclose(out, exact, atol=1e-13)


def test_a_window_is_computed_at_the_cost_of_its_area():
    mask = maskkit.create("sliding_window", seq_len=32768, window_size=256)
    found = Blockwise().fits(problem(mask))
    assert found.pairs <= 1.6 * mask.stats().allowed
    assert len(_plan.job(problem(mask), None, backward=False).groups) <= 8


def test_it_is_chosen_where_it_is_cheaper():
    window = maskkit.create("sliding_window", seq_len=4096, window_size=256)
    q, k, v = arrays(heads=8, kv_heads=8, n=4096, width=64)
    assert maskkit.plan(window, q, k, v).kernel.name == "blockwise"
    assert maskkit.plan(None, q[:, :, :64], k[:, :, :64], v[:, :, :64]).kernel.name == "dense"


@pytest.mark.parametrize(
    ("mask", "options", "words"),
    [
        (WINDOW, {"dropout_p": 0.1}, "it drops nothing; give dropout_p=0.0"),
        (maskkit.create("random", seq_len=96, mask_probability=0.5, seed=0), {}, "has no few intervals per row"),
    ],
)
def test_what_it_does_not_do_is_refused(mask, options, words, monkeypatch):
    monkeypatch.setattr(maskkit.limits, "intervals", 4)
    monkeypatch.setattr("maskkit.masks.rows._SEARCHED", 1)
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.attend(*arrays(), mask, kernel="blockwise", **options)
