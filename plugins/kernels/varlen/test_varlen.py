"""The varlen kernel hands the documents of all samples to Torch's kernel, and refuses what are none.

On a machine without CUDA a loop over the documents stands for `varlen_attn`; `make test-gpu` runs the real one.
"""

import gc

import numpy as np
import pytest
import torch
from attrs import evolve, frozen
import maskkit
from maskkit.kernels.conformance import check_attention
from maskkit.testing import check_light_import, check_parameters
from maskkit_kernel_varlen import Varlen, _documents, _torch

RAGGED = maskkit.create("document", lengths=[5, 1, 9, 2])


@frozen(kw_only=True)
class Elsewhere(Varlen):
    """The kernel, told that the arrays are on CUDA."""

    def fits(self, problem):
        return super().fits(evolve(problem, device="cuda:0"))


def loop(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale, window_size, enable_gqa):
    """`varlen_attn` as its documentation has it, of one document after the other."""
    assert cu_seq_q.dtype == cu_seq_k.dtype == torch.int32
    assert query.shape[-1] == key.shape[-1] == value.shape[-1]
    assert query.shape[-1] % 8 == 0
    assert max_q >= int(cu_seq_q.diff().max())
    assert max_k >= int(cu_seq_k.diff().max())
    assert enable_gqa or query.shape[1] == key.shape[1]
    key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], 1) for x in (key, value))
    parts = []
    for i in range(len(cu_seq_q) - 1):
        q = query[cu_seq_q[i] : cu_seq_q[i + 1]].double()
        k, v = (x[cu_seq_k[i] : cu_seq_k[i + 1]].double() for x in (key, value))
        scores = torch.einsum("qhd,khd->hqk", q, k) * scale
        if window_size == (-1, 0):
            scores = scores.masked_fill(torch.ones(scores.shape[-2:]).tril() == 0, -torch.inf)
        else:
            assert window_size == (-1, -1)
        parts.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v))
    return torch.cat(parts).to(query.dtype)


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    """A machine that has what the kernel needs, as far as it asks."""
    monkeypatch.setattr(_torch, "_varlen_attn", lambda: loop)


def problem(mask=None, **more):
    queries, keys = mask.shape[-2:] if mask is not None else (256, 256)
    sizes = dict(queries=queries, keys=keys, head_dim=64, value_dim=64, heads=8, kv_heads=8)
    return maskkit.Problem(**{**sizes, "mask": mask, "device": "cuda:0", "dtype": "bfloat16", **more})


def test_form():
    """What the kit asks besides results, which needs no CUDA."""
    check_parameters(Varlen)
    check_light_import("maskkit_kernel_varlen")


def test_contract():
    check_attention(Elsewhere(), "torch", every=4096)


@pytest.mark.parametrize("expression", ["document", "document & causal"])
@pytest.mark.parametrize(("batch", "kv_heads", "width", "value_width"), [(1, 4, 16, 16), (3, 2, 5, 11), (2, 1, 24, 8)])
def test_documents_are_exact(expression, batch, kv_heads, width, value_width):
    """Forward and backward, for several samples under one mask, shared heads and any width."""
    mask = RAGGED & maskkit.create("causal", seq_len=17) if "causal" in expression else RAGGED
    sizes = [(4, width), (kv_heads, width), (kv_heads, value_width)]
    inputs = [torch.randn(batch, heads, 17, wide, dtype=torch.float16, requires_grad=True) for heads, wide in sizes]
    found, expected = (
        maskkit.attend(*arrays, mask, kernel=kernel, enable_gqa=True)
        for arrays, kernel in ((inputs, Elsewhere()), ([x.double() for x in inputs], "area"))
    )
    torch.testing.assert_close(found.double(), expected, atol=4e-3, rtol=0)
    grad = torch.randn_like(found)
    pairs = zip(
        torch.autograd.grad(found, inputs, grad), torch.autograd.grad(expected, inputs, grad.double()), strict=True
    )
    for one, other in pairs:
        torch.testing.assert_close(one, other, atol=2e-2, rtol=2e-2)


def test_every_sample_may_have_documents_of_its_own():
    mask = maskkit.stack([RAGGED, maskkit.create("document", lengths=[8, 9])], "batch")
    assert _documents.documents_of(problem(mask, batch=2)).ends.tolist() == [0, 5, 6, 15, 17, 25, 34]
    assert _documents.documents_of(problem(RAGGED, batch=2)).ends.tolist() == [0, 5, 6, 15, 17, 22, 23, 32, 34]
    assert _documents.documents_of(problem(batch=2)).ends.tolist() == [0, 256, 512]


def test_it_is_the_cheapest_for_packed_documents():
    for training in (False, True):
        asked = problem(maskkit.create("block_diagonal", seq_len=8192, block_size=512), training=training)
        assert Varlen().fits(asked) < 0.2 * maskkit.find("dense", "kernel")().fits(asked)
        assert Varlen().fits(asked).pairs == 8 * 16 * 512**2


def test_ends_are_brought_to_a_device_once():
    gc.collect()
    before = len(_torch._made)
    q = torch.randn(1, 1, 17, 8, dtype=torch.float16)
    for _ in range(3):
        maskkit.attend(q, q, q, RAGGED, kernel=Elsewhere())
    assert len(_torch._made) <= before + 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (problem(device="cpu"), "it computes on Torch on CUDA, not on torch on cpu"),
        (problem(dropout_p=0.1), "varlen_attn drops nothing; give dropout_p=0.0"),
        (problem(return_lse=True), "no gradient of the log-sum-exp; give return_lse=False"),
        (problem(dtype="float32"), "takes float16 and bfloat16, not float32; give query.bfloat16()"),
        (problem(head_dim=320), "widths to 256, not 320 and 64"),
        (problem(queries=0), "no documents in empty arrays"),
        (problem(batch=2**16), "CUDA starts it for 65,535 documents and heads, not 65,536, 8"),
        (problem(keys=100), "documents must have as many queries as keys each"),
        (problem(RAGGED[:9, :9] & ~RAGGED[3:12, 3:12]), "is not made of packed documents"),
        (problem(RAGGED & maskkit.from_array(np.indices((17, 17))[0] != 5, true="allowed")), "no row may see nothing"),
        (problem(maskkit.create("sliding_window", seq_len=64, window_size=8)), "sees keys"),
        (problem(maskkit.stack([RAGGED, ~RAGGED]), heads=2, kv_heads=2), "its heads have masks of their own"),
        (problem(maskkit.from_array(torch.ones(8, 8, dtype=torch.bool, device="meta"), true="allowed")), "on a device"),
    ],
)
def test_what_it_does_not_do_is_refused(asked, words):
    answer = Varlen().fits(asked)
    assert isinstance(answer, maskkit.NoFit)
    assert words in answer.why


def test_torch_has_what_is_called_or_is_named(monkeypatch):
    monkeypatch.undo()
    assert _torch.lacking("cuda:0") == ""
    monkeypatch.setattr(_torch, "_varlen_attn", lambda: lambda query, key, value: None)
    assert "it needs varlen_attn with enable_gqa, scale, window_size" in Varlen().fits(problem(RAGGED)).why
