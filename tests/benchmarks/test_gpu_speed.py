"""Speed of attention under a mask on CUDA: `make test-gpu` prints milliseconds, and how many times faster it is.

Beside `maskkit.attend`, with the kernel that it takes and with each that fits: Torch's fused call under booleans, and
with the causal flag alone; and FlexAttention compiled for this one mask. bfloat16, 8 heads, width 64; the
calls follow each other in every round, and medians are given.
"""

import statistics
import sys
from functools import partial

import pytest
import torch
from torch.nn.attention.flex_attention import flex_attention
import maskkit

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="Torch sees no CUDA device")]
HEADS, WIDTH, ROUNDS = 8, 64, 20
SDPA = torch.nn.functional.scaled_dot_product_attention
EXPRESSIONS = [
    "causal",
    "sliding_window(window_size=256)",
    "sink(window_size=256)",
    "block_diagonal(block_size=512)",
    "block_diagonal(block_size=512) & causal",
    "longformer(window_size=257, global_tokens=(0, 1, 2, 3))",
    "dilated(window_size=65, dilation=8)",
]


def run(attend, inputs, training):
    out = attend(*inputs)
    if training:
        torch.autograd.grad(out.sum(), inputs)


def written_out(mask):
    """The BlockMask with the mask's own predicate, as one writes it by hand."""
    block_mask = mask.to_flex(device="cuda")
    block_mask.mask_mod = lambda b, h, q, kv: mask.allows(q, kv)
    return block_mask


def milliseconds(calls):
    """The median of each call, by name."""
    taken = {name: [] for name in calls}
    for _ in range(ROUNDS + 3):
        for name, call in calls.items():
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            torch.cuda.synchronize()
            taken[name].append(start.elapsed_time(stop))
    return {name: statistics.median(times[3:]) for name, times in taken.items()}


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("tokens", [2048, 8192, 32768])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_attend(capsys, expression, tokens, training):
    torch.compiler.reset()  # else the ninth mask of plain FlexAttention is computed without its kernel
    mask = maskkit.parse(expression, seq_len=tokens)
    like = dict(device="cuda", dtype=torch.bfloat16, requires_grad=training)
    inputs = [torch.randn(1, HEADS, tokens, WIDTH, **like) for _ in range(3)]
    plan = maskkit.plan(mask, *inputs)
    fitting = [kernel for kernel, answer in plan.answers.items() if not isinstance(answer, maskkit.NoFit)]
    calls = {f"attend, {kernel}": partial(maskkit.attend, mask=mask, kernel=kernel) for kernel in fitting}
    calls["booleans"] = partial(SDPA, attn_mask=mask.allowed("torch", device="cuda", form="heads"))
    calls["causal flag"] = partial(SDPA, is_causal=True)
    calls["FlexAttention"] = partial(torch.compile(flex_attention), block_mask=written_out(mask))
    found = milliseconds({what: partial(run, call, inputs, training) for what, call in calls.items()})
    chosen = found[f"attend, {plan.kernel.name}"]
    figures = ", ".join(f"{what} {time:.3f} ms ({time / chosen:.2f})" for what, time in found.items())
    with capsys.disabled():
        what = "training" if training else "forward"
        sys.stdout.write(f"\n{expression}, {tokens} tokens, {what}: {plan.kernel.name} chosen; {figures}\n")
    assert chosen <= 1.05 * found["booleans"]
