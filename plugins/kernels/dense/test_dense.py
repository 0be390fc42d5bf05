"""The dense kernel is exact on Torch and JAX, and hands over no more than it must."""

import gc

import numpy as np
import pytest
import torch
import maskkit
from maskkit.kernels.conformance import check_small_masks
from maskkit.testing import check_kernel
from maskkit_kernel_dense import Dense, _forms

Q, K, V = torch.randn(3, 2, 4, 12, 8)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_contract(library):
    check_kernel(Dense, library)


@pytest.mark.slow
@pytest.mark.parametrize("library", ["torch", "jax"])
def test_all_masks_of_four_by_four(library):
    check_small_masks(Dense(), library)


@pytest.mark.parametrize(
    ("expression", "options"),
    [
        ("causal", {"is_causal": True, "attn_mask": None}),
        ("causal | ~causal", {"is_causal": False, "attn_mask": None}),
        ("block_causal(block_size=4)", {"is_causal": False}),
    ],
)
def test_the_cheapest_exact_form_is_handed_over(expression, options, monkeypatch):
    given = {}
    sdpa = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: given.update(k) or sdpa(*a, **k)
    )
    maskkit.attend(Q, K, V, maskkit.parse(expression, seq_len=12), kernel="dense")
    assert given.items() >= options.items()
    if "attn_mask" not in options:
        assert given["attn_mask"].shape == (1, 1, 12, 12)


def test_a_causal_flag_means_no_corner_where_queries_are_fewer():
    mask = maskkit.create("causal", seq_len=12)
    last = maskkit.attend(Q[:, :, -1:], K, V, mask[-1:, :], kernel="dense")
    torch.testing.assert_close(last, maskkit.attend(Q, K, V, mask, kernel="dense")[:, :, -1:])


def test_booleans_are_made_once_while_the_mask_lives(monkeypatch):
    mask = maskkit.create("sliding_window", seq_len=12, window_size=3)
    made = []
    allowed = type(mask).allowed
    monkeypatch.setattr(type(mask), "allowed", lambda *args, **kwargs: made.append(1) or allowed(*args, **kwargs))
    for _ in range(3):
        maskkit.attend(Q, K, V, mask, kernel="dense")
    assert len(made) == 1
    before = len(_forms._made)
    del mask
    gc.collect()
    assert len(_forms._made) == before - 1


def test_dropout_is_torchs_own():
    torch.manual_seed(0)
    out = maskkit.attend(Q, K, V, dropout_p=0.5, kernel="dense")
    torch.manual_seed(0)
    assert torch.equal(out, torch.nn.functional.scaled_dot_product_attention(Q, K, V, dropout_p=0.5))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"return_lse": True}, "dense: the library's call gives no log-sum-exp"),
        ({"dropout_p": 0.1}, "dense: jax.nn.dot_product_attention drops nothing"),
    ],
)
def test_what_jax_does_not_do_is_refused(options, words):
    jnp = pytest.importorskip("jax").numpy
    q = jnp.ones((1, 1, 4, 8))
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.attend(q, q, q, kernel="dense", **options)


def test_masks_work_under_jit():
    jax = pytest.importorskip("jax")
    mask = maskkit.create("sliding_window", seq_len=12, window_size=3)
    q, k, v = (jax.numpy.asarray(np.asarray(x)) for x in (Q, K, V))
    call = jax.jit(lambda q, k, v: maskkit.attend(q, k, v, mask, kernel="dense"))
    for _ in range(2):
        np.testing.assert_allclose(call(q, k, v), maskkit.attend(Q, K, V, mask, kernel="dense"), atol=1e-6)
        jax.clear_caches()
