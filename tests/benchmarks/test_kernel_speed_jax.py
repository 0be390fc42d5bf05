"""Speed of attention under a mask in JAX, against `jax.nn.dot_product_attention` and its area floor: `make bench`.

The floor is the dense call, without a mask, on as many pairs as the mask allows. In every round the calls follow each
other, all of them compiled. `extra_info` has the ratios of medians: `floors`, times the floor; `dense`, times faster
than the dense call under the mask (which is left out where its booleans and scores would take gigabytes).
"""

import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import maskkit
from maskkit_kernel_blockwise import Blockwise

HEADS, WIDTH = 8, 64
MASKS = {
    "window 256": lambda n: maskkit.create("sliding_window", seq_len=n, window_size=256),
    "documents of 512": lambda n: maskkit.create("block_diagonal", seq_len=n, block_size=512),
    "causal": lambda n: maskkit.create("causal", seq_len=n),
    "sinks and window": lambda n: maskkit.create("sink", seq_len=n, window_size=256),
}


def arrays(tokens):
    rng = np.random.default_rng(0)
    return [jnp.asarray(rng.normal(size=(1, HEADS, tokens, WIDTH)), "float32") for _ in range(3)]


def compiled(attend, inputs, training):
    """The call, or its gradients, until they are there."""
    grads = jax.grad(lambda *given: attend(*given).sum(), (0, 1, 2))
    call = jax.jit(grads if training else attend).lower(*inputs).compile()
    return lambda: jax.block_until_ready(call(*inputs))


def under(mask):
    return lambda query, key, value: maskkit.attend(query, key, value, mask)


def dense(mask=None):
    """JAX's own, whose axes are (batch, length, heads, width)."""
    allowed = None if mask is None else mask.allowed("jax", form="heads")

    def attend(*given):
        query, key, value = (x.swapaxes(1, 2) for x in given)
        return jax.nn.dot_product_attention(query, key, value, mask=allowed).swapaxes(1, 2)

    return attend


def in_turns(benchmark, calls, rounds):
    """Times the first call by pytest-benchmark, the others beside it; medians in seconds by name."""
    name, first = next(iter(calls.items()))
    seconds = {other: [] for other in calls if other != name}

    def others():
        for other, taken in seconds.items():
            start = time.perf_counter()
            calls[other]()
            taken.append(time.perf_counter() - start)
        first()  # not timed: gigabytes that the dense call gave back are not this one's

    benchmark.pedantic(first, setup=others, rounds=rounds, warmup_rounds=1)
    return {name: benchmark.stats.stats.median} | {other: statistics.median(taken) for other, taken in seconds.items()}


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize(
    ("name", "tokens"), [(name, tokens) for tokens in (2048, 8192) for name in MASKS] + [("window 256", 32768)]
)
def test_attend(benchmark, name, tokens, training):
    benchmark.group = f"attention in JAX, {tokens} tokens, {'training' if training else 'forward'}"
    mask = MASKS[name](tokens)
    inputs = arrays(tokens)
    pairs = mask.stats().allowed
    side = min(4096, round(pairs**0.5 / 64) * 64)
    calls = {
        "attend": compiled(under(mask), inputs, training),
        "floor": compiled(dense(), arrays(side), training),
    }
    if tokens <= 8192:
        calls["dense"] = compiled(dense(mask), inputs, training)
    found = in_turns(benchmark, calls, 5 if tokens < 8192 else 3)
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *inputs).kernel.name
    benchmark.extra_info["floors"] = found["attend"] / (found["floor"] * pairs / side**2)
    if "dense" in found:
        benchmark.extra_info["dense"] = found["dense"] / found["attend"]


@pytest.mark.parametrize("training", [False, True], ids=["forward", "training"])
@pytest.mark.parametrize("share", [1, 2, 4, 6, 7, 8])
@pytest.mark.parametrize("kind", ["banded", "block_causal", "sink"])
def test_attend_is_no_slower_than_the_dense_call(benchmark, kind, share, training):
    """At any density: `extra_info["dense"]` is how many times faster it is, and 0.95 or more."""
    n = 2048
    size = n * share // 8
    params = {"banded": {"band_width": size - 1}, "block_causal": {"block_size": size}, "sink": {"window_size": size}}
    mask = maskkit.create(kind, seq_len=n, **params[kind])
    inputs = arrays(n)
    calls = {name: compiled(call(mask), inputs, training) for name, call in (("attend", under), ("dense", dense))}
    benchmark.group = f"attention in JAX at {share}/8 of {n} keys, {'training' if training else 'forward'}"
    found = in_turns(benchmark, calls, 5)
    benchmark.extra_info["kernel"] = maskkit.plan(mask, *inputs).kernel.name
    benchmark.extra_info["dense"] = found["dense"] / found["attend"]


@pytest.mark.parametrize("name", MASKS)
def test_plan(benchmark, name):
    """The first plan of a mask of 32,768 tokens, training; the next time it is looked up."""
    benchmark.group = "planning for JAX, 32,768 tokens"
    mask = MASKS[name](32768)
    sizes = dict(heads=HEADS, kv_heads=HEADS, head_dim=WIDTH, value_dim=WIDTH, training=True, library="jax")
    batches = iter(range(1, 1000))

    def fresh():
        return (maskkit.Problem(mask=mask, queries=32768, keys=32768, batch=next(batches), **sizes),), {}

    benchmark.pedantic(Blockwise().fits, setup=fresh, rounds=9, warmup_rounds=1)
