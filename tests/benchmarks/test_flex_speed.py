"""Speed of `maskkit.flex_attention` on a CPU, against FlexAttention compiled for it, which has no backward pass there.

In every round the calls follow each other. `extra_info`: `compiled`, times faster than the compiled call; `sdpa`, times
faster than Torch's fused call under the booleans of the mask; `first`, seconds of the first call of each.
"""

import statistics
import time
from functools import partial

import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask, create_mask, flex_attention
import maskkit

TOKENS, HEADS, WIDTH, WINDOW = 2048, 8, 64, 256


def window(b, h, q, k):
    return (q >= k) & (q - k < WINDOW)


def timed(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
def test_flex_attention(benchmark, training):
    benchmark.group = f"FlexAttention on a CPU, window of {WINDOW}, {TOKENS} tokens"
    block_mask = create_block_mask(window, None, None, TOKENS, TOKENS, "cpu")
    inputs = [torch.randn(1, HEADS, TOKENS, WIDTH, requires_grad=training) for _ in range(3)]

    def run(attend):
        out = attend(*inputs)
        if training:
            torch.autograd.grad(out.sum(), inputs)

    allowed = create_mask(window, 1, 1, TOKENS, TOKENS, "cpu")
    others = {"sdpa": partial(run, partial(torch.nn.functional.scaled_dot_product_attention, attn_mask=allowed))}
    if not training:
        others["compiled"] = partial(run, partial(torch.compile(flex_attention), block_mask=block_mask))
    ours = partial(run, partial(maskkit.flex_attention, block_mask=block_mask))
    benchmark.extra_info["first"] = {name: timed(call) for name, call in {"ours": ours, **others}.items()}
    seconds = {name: [] for name in others}

    def in_turn():
        for name, call in others.items():
            seconds[name].append(timed(call))

    benchmark.pedantic(ours, setup=in_turn, rounds=15, warmup_rounds=1)
    for name, taken in seconds.items():
        benchmark.extra_info[name] = statistics.median(taken) / benchmark.stats.stats.median
