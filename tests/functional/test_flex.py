"""`maskkit.flex_attention` takes what Torch's takes, and trains on a CPU."""

import pytest
import torch
from torch.nn.attention.flex_attention import AuxRequest, and_masks, create_block_mask, create_mask
from torch.nn.attention.flex_attention import flex_attention as torchs
import maskkit

DOCUMENTS = torch.arange(300) // 70


def packed(b, h, q, k):
    return (q >= k) & (DOCUMENTS[q] == DOCUMENTS[k])


def blind(b, h, q, k):
    return (q - k < 30 + 20 * h) & (q % 7 != 3) & (q >= k + b)


def arrays(batch=2, heads=4, kv_heads=4, dtype=torch.float32):
    return [
        torch.randn(batch, count, 300, 16, dtype=dtype, requires_grad=True) for count in (heads, kv_heads, kv_heads)
    ]


def definition(q, k, v, allowed, scale=None):
    q, k, v = (x.detach().double().requires_grad_() for x in (q, k, v))
    keys, values = (x.repeat_interleave(q.shape[1] // k.shape[1], 1) for x in (k, v))
    scores = (q @ keys.mT * (q.shape[-1] ** -0.5 if scale is None else scale)).masked_fill(~allowed, -torch.inf)
    weights = scores.softmax(-1).nan_to_num(0)
    return (q, k, v), weights @ values, scores.logsumexp(-1)


@pytest.mark.parametrize(
    ("mask_mod", "batch", "heads", "kv_heads"),
    [(packed, None, None, 4), (blind, 2, 4, 2), (and_masks(packed, blind), 2, 4, 4), (None, None, None, 1)],
)
def test_it_trains_on_a_cpu(mask_mod, batch, heads, kv_heads):
    q, k, v = arrays(kv_heads=kv_heads)
    block_mask = mask_mod and create_block_mask(mask_mod, batch, heads, 300, 300, "cpu")
    allowed = create_mask(mask_mod, batch, heads, 300, 300, "cpu") if mask_mod else torch.ones(300, 300).bool()
    inputs, expected, _ = definition(q, k, v, allowed)
    out = maskkit.flex_attention(q, k, v, block_mask=block_mask, enable_gqa=kv_heads < 4)
    torch.testing.assert_close(out.double(), expected, atol=2e-6, rtol=0)
    grad = torch.randn_like(out)
    if mask_mod is blind:  # rows that see nothing have no gradient in the definition either
        expected = expected.where(allowed.any(-1, keepdim=True), 0)
    found = torch.autograd.grad(out, (q, k, v), grad)
    for one, other in zip(found, torch.autograd.grad(expected, inputs, grad.double()), strict=True):
        other = other.nan_to_num(0)
        torch.testing.assert_close(one.double(), other, atol=5e-6 * max(1, float(other.abs().max())), rtol=0)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_it_gives_what_torchs_gives():
    q, k, v = (x.detach().double() for x in arrays(kv_heads=2))
    options = dict(block_mask=create_block_mask(packed, None, None, 300, 300, "cpu"), scale=0.3, enable_gqa=True)
    with torch.no_grad():
        expected, theirs = torchs(q, k, v, **options, return_aux=AuxRequest(lse=True))
    out, aux = maskkit.flex_attention(q, k, v, **options, return_aux=AuxRequest(lse=True))
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(aux.lse, theirs.lse)
    again, lse = maskkit.flex_attention(q, k, v, **options, return_lse=True)
    assert torch.equal(again, out)
    assert torch.equal(lse, aux.lse)
    assert maskkit.flex_attention(q, k, v, **options, return_aux=AuxRequest())[1] == (None, None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"score_mod": lambda score, b, h, q, k: score}, "score_mod must be None, .* Torch's own flex_attention"),
        ({"kernel_options": {}}, "kernel_options must be None"),
        ({"return_aux": AuxRequest(max_scores=True)}, "return_aux may ask for lse alone"),
        ({"return_aux": AuxRequest(lse=True), "return_lse": True}, "return_aux may ask for lse alone"),
        ({"scale": -1.0}, "scale must not be negative"),
        ({"block_mask": create_block_mask(packed, None, None, 256, 256, "cpu")}, "has 256 along the axis 'query'"),
        ({"block_mask": create_block_mask(blind, None, 4, 300, 300, "cpu")}, "reads the index of the batch, .* 1 of 2"),
        ({"block_mask": create_block_mask(blind, 2, None, 300, 300, "cpu")}, "index of the head, .* B=2, H=4"),
    ],
)
def test_what_cannot_be_honoured_is_refused(options, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.flex_attention(*arrays(), **options)
