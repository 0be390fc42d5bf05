"""What needs a CUDA device: `make test-gpu`. Every kernel is held to the definition there, compiled ones too."""

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
import maskkit
from maskkit.kernels.conformance import Case, check_case
from maskkit.testing import check_kernel

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="Torch sees no CUDA device")]
TOKENS = 600
MASKS = {
    "causal": lambda: maskkit.create("causal", seq_len=TOKENS),
    "window": lambda: maskkit.create("sliding_window", seq_len=TOKENS, window_size=100),
    "sinks": lambda: maskkit.create("sink", seq_len=TOKENS, window_size=100),
    "documents": lambda: maskkit.create("document", lengths=[1, 300, 130, 169]),
    "causal documents": lambda: MASKS["documents"]() & MASKS["causal"](),
    "many intervals": lambda: maskkit.create("dilated", seq_len=TOKENS, window_size=65, dilation=8),
    "blind rows": lambda: (
        maskkit.create("causal", seq_len=TOKENS) & ~maskkit.create("prefix_lm", seq_len=TOKENS, prefix_len=200)
    ),
    "of heads": lambda: maskkit.stack(
        [MASKS["window"](), MASKS["causal"](), MASKS["sinks"](), MASKS["many intervals"]()]
    ),
    "of samples": lambda: maskkit.stack([MASKS["documents"](), MASKS["window"]()], "batch"),
    "decoding": lambda: maskkit.create("sliding_window", seq_len=TOKENS, window_size=100)[-3:, :],
}


@pytest.mark.parametrize("name", ["dense", "flex", "varlen"])
def test_contract(name):
    check_kernel(maskkit.find(name, "kernel"), "torch", every=256, device="cuda")


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("kv_heads", "width", "value_width"), [(4, 64, 64), (2, 40, 16), (1, 128, 128)])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", ["dense", "flex", "varlen"])
def test_masks_of_several_blocks_are_exact(name, mask, kv_heads, width, value_width, dtype):
    made = MASKS[mask]()
    keys = (2, kv_heads, TOKENS)
    case = Case(made, (2, 4, made.shape[-2], width), (*keys, width), (*keys, value_width), {})
    fits = check_case(maskkit.find(name, "kernel")(), "torch", case, dtype, device="cuda")
    assert fits == (name != "varlen" or ("documents" in mask and dtype != "float32"))


def test_one_compile_serves_masks_with_as_many_intervals():
    q, k, v = torch.randn(3, 1, 2, 1024, 64, device="cuda", dtype=torch.bfloat16)
    stats = torch._dynamo.utils.counters["stats"]
    made = []
    for expression in ("causal", "sliding_window(window_size=100)", "block_diagonal(block_size=64)"):
        before = stats["unique_graphs"]
        maskkit.attend(q, k, v, maskkit.parse(expression, seq_len=1024), kernel="flex")
        made.append(stats["unique_graphs"] - before)
    assert made[1:] == [0, 0]


@pytest.mark.parametrize(
    ("expression", "name"),
    [
        ("sliding_window(window_size=256)", "flex"),
        ("block_diagonal(block_size=512)", "varlen"),
        ("block_diagonal(block_size=512) & causal", "varlen"),
        ("causal", "dense"),
    ],
)
def test_the_kernel_is_chosen_by_the_mask(expression, name):
    q = torch.empty(1, 8, 8192, 64, device="cuda", dtype=torch.bfloat16)
    assert maskkit.plan(maskkit.parse(expression, seq_len=8192), q, q, q).kernel.name == name


def test_autocast_gives_its_dtype():
    q, k, v = (torch.randn(1, 2, 512, 64, device="cuda", requires_grad=True) for _ in range(3))
    mask = maskkit.create("sliding_window", seq_len=512, window_size=50)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        out = maskkit.attend(q, k, v, mask, kernel="flex")
    assert out.dtype == torch.bfloat16
    out.float().sum().backward()
    assert q.grad.dtype == torch.float32


def test_flex_attention_is_torchs():
    """Of a BlockMask on the device, whose mask_mod looks at a tensor there."""
    document = torch.arange(1000, device="cuda") // 170

    def packed(b, h, q, k):
        return (q >= k) & (document[q] == document[k])

    block_mask = create_block_mask(packed, None, None, 1000, 1000, "cuda")
    inputs = [torch.randn(2, 4, 1000, 64, device="cuda", requires_grad=True) for _ in range(3)]
    outs = [call(*inputs, block_mask=block_mask) for call in (torch.compile(flex_attention), maskkit.flex_attention)]
    torch.testing.assert_close(outs[1], outs[0], atol=5e-6, rtol=1e-5)
    grads = [torch.autograd.grad(out.sin().sum(), inputs) for out in outs]
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-5)
