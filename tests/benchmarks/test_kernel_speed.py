"""Speed of attention under a mask, against the dense call and against its area floor: `make bench`, read the ratios.

The floor is the dense call, without a mask, on as many pairs as the mask allows. In every round the calls follow each
other, so that all meet the same machine. `extra_info` has the ratios of medians: `floors`, times the floor; `dense`,
times faster than the dense call under the mask; `causal_flag`, times faster than the dense call with the flag alone.
"""

import statistics
import time
from functools import partial

import pytest
import torch
import maskkit

HEADS, WIDTH = 8, 64
SDPA = torch.nn.functional.scaled_dot_product_attention
MASKS = {
    "causal": lambda n: maskkit.create("causal", seq_len=n),
    "window 256": lambda n: maskkit.create("sliding_window", seq_len=n, window_size=256),
    "documents of 512": lambda n: maskkit.create("block_diagonal", seq_len=n, block_size=512),
    "causal documents": lambda n: maskkit.parse(
        f"document(lengths={[n // 8] * 4 + [n // 16] * 8}) & causal", seq_len=n
    ),
    "sinks and window": lambda n: maskkit.create("sink", seq_len=n, window_size=256),
    "longformer": lambda n: maskkit.create("longformer", seq_len=n, window_size=257, global_tokens=(0, 1, 2, 3)),
    "neighborhood 7 x 7": lambda n: maskkit.create("neighborhood", height=64, width=n // 64, kernel_size=7),
}


def arrays(tokens, training, dtype):
    return [torch.randn(1, HEADS, tokens, WIDTH, dtype=dtype, requires_grad=training) for _ in range(3)]


def run(attend, inputs, training):
    out = attend(*inputs)
    if training:
        torch.autograd.grad(out.sum(), inputs)


def in_turns(benchmark, calls, rounds):
    """Times the first call by pytest-benchmark, the others beside it; medians in seconds by name."""
    name, first = next(iter(calls.items()))
    seconds = {other: [] for other in calls if other != name}

    def others():
        for other, taken in seconds.items():
            start = time.perf_counter()
            calls[other]()
            taken.append(time.perf_counter() - start)

    benchmark.pedantic(first, setup=others, rounds=rounds, warmup_rounds=1)
    return {name: benchmark.stats.stats.median} | {other: statistics.median(taken) for other, taken in seconds.items()}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("tokens", [2048, 8192])
@pytest.mark.parametrize("name", MASKS)
def test_attend(benchmark, name, tokens, training, dtype):
    benchmark.group = f"attention, {tokens} tokens, {'training' if training else 'forward'}, {dtype}"
    tokens = 4096 if name.startswith("neighborhood") else tokens
    mask = MASKS[name](tokens)
    inputs = arrays(tokens, training, dtype)
    side = round(mask.stats().allowed ** 0.5 / 64) * 64
    share = mask.stats().allowed / side**2
    floor = partial(run, SDPA, arrays(side, training, dtype), training)
    allowed = mask.allowed("torch", form="heads")
    calls = {
        "attend": partial(run, partial(maskkit.attend, mask=mask), inputs, training),
        "floor": floor,
        "dense": partial(run, partial(SDPA, attn_mask=allowed), inputs, training),
        "causal_flag": partial(run, partial(SDPA, is_causal=True), inputs, training),
    }
    found = in_turns(benchmark, calls, 5 if tokens < 8192 else 3)
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *inputs).kernel.name
    benchmark.extra_info["floors"] = found["attend"] / (found["floor"] * share)
    for other in ("dense", "causal_flag"):
        benchmark.extra_info[other] = found[other] / found["attend"]


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("share", [1, 2, 4, 6, 7, 8])
@pytest.mark.parametrize("kind", ["banded", "block_causal", "sink"])
def test_attend_is_no_slower_than_the_dense_call(benchmark, kind, share, training):
    """At any density: `extra_info["dense"]` is how many times faster it is, and 0.95 or more."""
    n = 2048
    size = n * share // 8
    params = {"banded": {"band_width": size - 1}, "block_causal": {"block_size": size}, "sink": {"window_size": size}}
    mask = maskkit.create(kind, seq_len=n, **params[kind])
    inputs = arrays(n, training, torch.float32)
    calls = {
        "attend": partial(run, partial(maskkit.attend, mask=mask), inputs, training),
        "dense": partial(run, partial(SDPA, attn_mask=mask.allowed("torch", form="heads")), inputs, training),
    }
    benchmark.group = f"attention at {share}/8 of {n} keys, {'training' if training else 'forward'}"
    found = in_turns(benchmark, calls, 7)
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *inputs).kernel.name
    benchmark.extra_info["dense"] = found["dense"] / found["attend"]


@pytest.mark.parametrize("name", MASKS)
def test_plan(benchmark, name):
    """The first plan of a mask of 32,768 tokens, training; the next time it is looked up."""
    benchmark.group = "planning, 32,768 tokens"
    mask = MASKS[name](4096 if name.startswith("neighborhood") else 32768)
    sizes = dict(heads=HEADS, kv_heads=HEADS, head_dim=WIDTH, value_dim=WIDTH, training=True)
    scales = iter(range(1, 1000))

    def fresh():
        kernel = maskkit.find("area", "kernel")(rows=None)
        problem = maskkit.Problem(mask=mask, queries=mask.shape[0], keys=mask.shape[1], batch=next(scales), **sizes)
        return (kernel, problem), {}

    benchmark.pedantic(lambda kernel, problem: kernel.fits(problem), setup=fresh, rounds=9, warmup_rounds=1)
