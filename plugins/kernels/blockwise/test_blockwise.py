"""The blockwise kernel is exact under jit, vmap and grad, computes little more than what is allowed, compiles once."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
import maskkit
from maskkit.kernels.conformance import Case, check_case, check_small_masks
from maskkit.testing import check_kernel
from maskkit_kernel_blockwise import Blockwise, _jax

WINDOW = maskkit.create("sliding_window", seq_len=40, window_size=7)


def drawn(*shape, count=3, dtype="float32"):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=shape), dtype) for _ in range(count)]


def problem(mask, heads=1, **more):
    queries, keys = mask.shape[-2:]
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=heads, kv_heads=heads)
    return maskkit.Problem(mask=mask, library="jax", **{**sizes, **more})


def attend(mask, **options):
    return lambda q, k, v: maskkit.attend(q, k, v, mask, kernel="blockwise", **options)


def plain(q, k, v, allowed):
    """Attention and log-sum-exp as JAX differentiates them."""
    scores = jnp.where(allowed, q @ k.mT * q.shape[-1] ** -0.5, -jnp.inf)
    return jax.nn.softmax(scores) @ v, jax.nn.logsumexp(scores, -1)


def test_contract():
    check_kernel(Blockwise, "jax", every=512)


@pytest.mark.slow
def test_all_masks_of_four_by_four():
    check_small_masks(Blockwise(), "jax")


@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
def test_any_masks(seed, rows):
    """Sixteen at once, since every set of masks is compiled."""
    allowed = np.random.default_rng(seed).random((16, 9, 7)) < 0.5
    mask = maskkit.from_array(allowed, true="allowed", axes=("batch", "query", "key"))
    assert check_case(
        Blockwise(rows=rows), "jax", Case(mask, (16, 2, 9, 3), *((16, 1, 7, 3),) * 2, {}), "float32", [True]
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype):
    case = Case(WINDOW, *((1, 2, 40, 8),) * 3, {})
    assert check_case(Blockwise(), "jax", case, dtype, with_lse=[True])
    out, lse = attend(WINDOW, return_lse=True)(*drawn(1, 2, 40, 8, dtype=dtype))
    assert (out.dtype, lse.dtype) == (dtype, "float32")


def test_float64_is_exact_where_jax_has_it():
    with jax.enable_x64(True):
        case = Case(WINDOW, *((1, 2, 40, 8),) * 3, {})
        assert check_case(Blockwise(), "jax", case, "float64", with_lse=[True])


@pytest.mark.parametrize(
    ("expression", "most"),
    [
        ("sliding_window(window_size=256)", 1.6),
        ("block_diagonal(block_size=512)", 1.0),
        ("causal", 1.13),
        ("sink(window_size=256)", 1.6),
    ],
)
def test_what_is_computed_is_little_more_than_what_is_allowed(expression, most):
    asked = problem(maskkit.parse(expression, seq_len=8192))
    [spans], _ = asked.planes()
    assert Blockwise().fits(asked).pairs <= most * spans.counts().sum()


def test_memory_of_the_plan_follows_the_rows():
    short, long = (
        Blockwise().fits(problem(maskkit.create("sink", seq_len=n, window_size=256), training=True)).nbytes
        for n in (8192, 32768)
    )
    assert long <= 4.5 * short
    assert long < 2**22


@pytest.mark.parametrize(
    ("expression", "kernel"),
    [(None, "dense"), ("causal | ~causal", "dense"), ("causal", "blockwise"), ("sink(window_size=64)", "blockwise")],
)
def test_what_allows_everything_is_left_to_the_dense_call(expression, kernel):
    mask = expression and maskkit.parse(expression, seq_len=1024)
    q, *_ = drawn(1, 2, 1024, 64)
    assert maskkit.plan(mask, q, q, q).kernel.name == kernel


def test_the_log_sum_exp_has_a_gradient():
    arrays = drawn(1, 2, 40, 8)
    [weights] = drawn(1, 2, 40, count=1)
    allowed = jnp.asarray(WINDOW.allowed())

    def loss(results):
        return results[0].sum() + (results[1] * weights).sum()

    found = jax.grad(lambda q, k, v: loss(attend(WINDOW, return_lse=True)(q, k, v)), (0, 1, 2))(*arrays)
    expected = jax.grad(lambda q, k, v: loss(plain(q, k, v, allowed)), (0, 1, 2))(*arrays)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_neighborhood_is_computed_in_tiles():
    mask = maskkit.create("neighborhood", height=32, width=32, kernel_size=7)
    assert Blockwise().fits(problem(mask)).pairs <= 5.3 * 1024 * 49
    arrays = drawn(1, 1, 1024, 4)
    calls = (attend(mask), lambda *x: plain(*x, jnp.asarray(mask.allowed()))[0])
    found, expected = (
        jax.jit(jax.value_and_grad(lambda *x, call=call: call(*x).sum(), (0, 1, 2)))(*arrays) for call in calls
    )
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-4, rtol=2e-4)


def test_jit_and_vmap_give_what_the_call_gives():
    q, k, v = drawn(3, 2, 40, 8)
    expected = attend(WINDOW)(q, k, v)
    one = lambda q, k, v: attend(WINDOW)(q[None], k[None], v[None])[0]  # noqa: E731
    np.testing.assert_allclose(jax.jit(attend(WINDOW))(q, k, v), expected, atol=1e-6)
    np.testing.assert_allclose(jax.vmap(one)(q, k, v), expected, atol=1e-6)
    grads = jax.vmap(jax.grad(lambda *x: one(*x).sum(), (0, 1, 2)))(q, k, v)
    for found, other in zip(grads, jax.grad(lambda *x: attend(WINDOW)(*x).sum(), (0, 1, 2))(q, k, v), strict=True):
        np.testing.assert_allclose(found, other, atol=1e-5)


def test_equal_masks_compile_once():
    q, k, v = drawn(1, 2, 40, 8)
    masks = [maskkit.create("sliding_window", seq_len=40, window_size=5) for _ in range(2)]
    asked = [problem(mask, heads=2, head_dim=8, value_dim=8) for mask in masks]
    assert _jax.compiled(asked[0], None) is _jax.compiled(asked[1], None)
    for _, mask in product(range(2), masks):
        attend(mask)(q, k, v)
    assert _jax.compiled(asked[0], None)._cache_size() == 1


def test_keys_that_no_row_of_a_block_sees_may_be_anything():
    """Neither in the output nor in any gradient, though blocks of both documents read as many keys."""
    mask = maskkit.create("document", lengths=[20, 44])
    q, k, v = drawn(1, 1, 64, 8)

    def run(k, v):
        out, back = jax.vjp(attend(mask), q, k, v)
        return [x[:, :, :20] for x in (out, *back(jnp.ones_like(out)))]

    found = run(k.at[:, :, 20:].set(jnp.nan), v.at[:, :, 20:].set(jnp.inf))
    for one, expected in zip(found, run(k, v), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_forward_mode_is_refused_by_jax():
    q, k, v = drawn(1, 1, 40, 8)
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(lambda q: attend(WINDOW)(q, k, v), (q,), (q,))


@pytest.mark.parametrize(
    ("mask", "options", "words"),
    [
        (None, {"dropout_p": 0.1}, "blockwise: it drops nothing; give dropout_p=0.0"),
        (
            maskkit.create("random", seq_len=8192, seed=1, mask_probability=0.5),
            {},
            "blockwise: the mask has no few intervals per row",
        ),
    ],
)
def test_what_it_does_not_do_is_refused(mask, options, words):
    q = jnp.ones((1, 1, 8192, 8))
    with pytest.raises(maskkit.ConfigError, match=words):
        attend(mask, **options)(q, q, q)
