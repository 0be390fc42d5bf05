"""Speed of attention under a mask, against the dense call and against its area floor: `make bench`, read the ratios.

The floor is the dense call, without a mask, on as many pairs as the mask allows. In every round the calls follow each
other, so that all meet the same machine. `extra_info` has the ratios of medians, and a table at the end of the run all
of them: `floors`, times the floor; times faster than `dense`, the dense call under the mask; than `causal_flag`, the
dense call with the flag alone; than `flex`, FlexAttention compiled; than `rows`, the sequences of a tree one by one;
`growth`, times the time at a quarter of the tokens.
"""

import statistics
import time
from functools import partial

import numpy as np
import pytest
import torch
import maskkit

HEADS, WIDTH = 8, 64
SDPA = torch.nn.functional.scaled_dot_product_attention


def ragged(tokens):
    """Lengths of documents, from 64 to 1,023 tokens and one of what is left."""
    rng, lengths = np.random.default_rng(0), []
    while sum(lengths) < tokens:
        lengths.append(min(int(rng.integers(64, 1024)), tokens - sum(lengths)))
    return lengths


MASKS = {
    "causal": lambda n: maskkit.create("causal", seq_len=n),
    "window 256": lambda n: maskkit.create("sliding_window", seq_len=n, window_size=256),
    "documents of 512": lambda n: maskkit.create("block_diagonal", seq_len=n, block_size=512),
    "ragged documents": lambda n: maskkit.create("document", lengths=ragged(n)),
    "ragged causal documents": lambda n: maskkit.parse(f"document(lengths={ragged(n)}) & causal", seq_len=n),
    "sinks and window": lambda n: maskkit.create("sink", seq_len=n, window_size=256),
    "prefix lm": lambda n: maskkit.create("prefix_lm", seq_len=n, prefix_len=n // 8),
    "chunks of 512": lambda n: maskkit.create("chunked", seq_len=n, chunk_size=512),
    "longformer": lambda n: maskkit.create("longformer", seq_len=n, window_size=257, global_tokens=(0, 1, 2, 3)),
    "neighborhood 7 x 7": lambda n: maskkit.create("neighborhood", height=64, width=n // 64, kernel_size=7),
}


CASES = [
    (name, tokens, dtype)
    for name in MASKS
    for tokens in (2048, 8192, 32768)
    for dtype in (torch.float32, torch.bfloat16)
    if (tokens < 32768 or dtype == torch.float32) and (tokens == 8192 or not name.startswith("neighborhood"))
]


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


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize(("name", "tokens", "dtype"), CASES, ids=lambda value: str(value))
def test_attend(benchmark, name, tokens, dtype, training):
    """At 32,768 tokens the dense call takes minutes: there only for the window, once."""
    benchmark.group = f"attention, {tokens} tokens, {'training' if training else 'forward'}, {dtype}"
    long, tokens = tokens == 32768, 4096 if name.startswith("neighborhood") else tokens
    mask = MASKS[name](tokens)
    inputs = arrays(tokens, training, dtype)
    side = round(mask.stats().allowed ** 0.5 / 64) * 64
    share = mask.stats().allowed / side**2
    calls = {
        "attend": partial(run, partial(maskkit.attend, mask=mask), inputs, training),
        "floor": partial(run, SDPA, arrays(side, training, dtype), training),
    }
    if not long:
        allowed = mask.allowed("torch", form="heads")
        calls["dense"] = partial(run, partial(SDPA, attn_mask=allowed), inputs, training)
        calls["causal_flag"] = partial(run, partial(SDPA, is_causal=True), inputs, training)
    found = in_turns(benchmark, calls, 5 if tokens < 8192 else 3)
    if long and name == "window 256":
        start = time.perf_counter()
        run(partial(SDPA, attn_mask=mask.allowed("torch", form="heads")), inputs, training)
        found["dense"] = time.perf_counter() - start
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *inputs).kernel.name
    benchmark.extra_info["floors"] = found["attend"] / (found["floor"] * share)
    for other in sorted({"dense", "causal_flag"} & set(found)):
        benchmark.extra_info[other] = found[other] / found["attend"]


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
def test_a_window_grows_with_the_tokens(benchmark, training):
    """From 8,192 to 32,768 tokens."""
    benchmark.group = f"attention, window 256, {'training' if training else 'forward'}"
    calls = {}
    for tokens in (32768, 8192):
        attend = partial(maskkit.attend, mask=MASKS["window 256"](tokens))
        calls[tokens] = partial(run, attend, arrays(tokens, training, torch.float32), training)
    found = in_turns(benchmark, calls, 5)
    benchmark.extra_info["growth"] = found[32768] / found[8192]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # Torch, when it first compiles
@pytest.mark.parametrize("tokens", [2048, 8192])
def test_a_window_against_compiled_flex_attention(benchmark, tokens):
    """Forward alone: it does not train on a CPU."""
    from torch.nn.attention.flex_attention import flex_attention

    benchmark.group = f"attention, window 256, {tokens} tokens, forward"
    mask, inputs = MASKS["window 256"](tokens), arrays(tokens, False, torch.float32)
    compiled = torch.compile(flex_attention)
    calls = {
        "attend": partial(maskkit.attend, *inputs, mask),
        "flex": partial(compiled, *inputs, block_mask=mask.to_flex(device="cpu")),
    }
    calls["flex"]()  # compiles
    found = in_turns(benchmark, calls, 7)
    benchmark.extra_info["flex"] = found["flex"] / found["attend"]


def test_a_tree_against_its_sequences_apart(benchmark):
    """Eight completions of 1,024 tokens to a prompt of 4,096, as a training step."""
    benchmark.group = "attention, prefix tree, training"
    mask = maskkit.create("prefix_tree", lengths=[4096, *[1024] * 8], parents=[-1, *[0] * 8])
    together = arrays(mask.shape[0], True, torch.float32)
    apart = [torch.randn(8, HEADS, 5120, WIDTH, requires_grad=True) for _ in range(3)]
    calls = {
        "attend": partial(run, partial(maskkit.attend, mask=mask), together, True),
        "rows": partial(run, partial(SDPA, is_causal=True), apart, True),
    }
    found = in_turns(benchmark, calls, 3)
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *together).kernel.name
    benchmark.extra_info["rows"] = found["rows"] / found["attend"]


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("share", [1, 2, 4, 6, 7, 8])
@pytest.mark.parametrize("kind", ["banded", "block_causal", "sink"])
@pytest.mark.parametrize("n", [256, 2048])
def test_attend_is_no_slower_than_the_dense_call(benchmark, n, kind, share, training):
    """At any density: `extra_info["dense"]` is how many times faster it is, and 0.95 or more."""
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
