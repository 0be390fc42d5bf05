"""Speed of masks against the floor and against what a user would call instead: `make bench`, and read the ratios.

Each group holds the same work done in several ways, in one run; pytest-benchmark prints the ratio to the fastest.
`extra_info` holds peak memory in MiB where it matters.
"""

import math
import statistics
import subprocess
import sys
import time
import tracemalloc
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask
import maskkit
from maskkit import AttentionMask, MaskGroup, Spans
from maskkit.configs.fields import parameters
from maskkit.masks.rows import planes, row_count, spans_of
from maskkit.registry.loader import registry

MILLION = 2**20
FLEX_ARRAYS = [
    f"{full}{side}_{part}" for full in ("", "full_") for side in ("kv", "q") for part in ("num_blocks", "indices")
]
# What a mask of n tokens is made from, where a length is not enough. Every installed mask with spans has its line
# here, or needs none: one that has neither fails when the tests are collected.
PARAMETERS = {
    "axial": lambda n: dict(height=32, width=n // 32),
    "banded": lambda n: dict(band_width=257),
    "bigbird": lambda n: dict(seed=1),
    "block_causal": lambda n: dict(block_size=256),
    "block_diagonal": lambda n: dict(block_size=128),
    "chunked": lambda n: dict(chunk_size=512),
    "dilated": lambda n: dict(window_size=32, dilation=4),
    "document": lambda n: dict(lengths=[n // 16] * 16),
    "key_padding": lambda n: dict(lengths=[n - 100]),
    "longformer": lambda n: dict(window_size=257, global_tokens=(0, 1, 2, 3)),
    "neighborhood": lambda n: dict(height=math.isqrt(n), width=math.isqrt(n), kernel_size=7),
    "padding": lambda n: dict(padding_mask=np.arange(n)[None] >= n - 100),
    "prefix_lm": lambda n: dict(prefix_len=1000),
    "sink": lambda n: dict(window_size=256),
    "sliding_window": lambda n: dict(window_size=256),
    "strided": lambda n: dict(stride=n // 16),
}


def build(name: str, tokens: int):
    """The mask as it is measured."""
    cls = registry.find(name, "mask")
    params = PARAMETERS.get(name, lambda n: {})(tokens)
    length = {"seq_len": tokens} if "seq_len" in parameters(cls) else {}
    return maskkit.create(name, kind="mask", **params, **length)


def has_spans(name: str) -> bool:
    """Whether it is an attention mask that has them; what a group is made of is measured alone."""
    cls = registry.find(name, "mask")
    mask = None if issubclass(cls, MaskGroup) else cls(**cls.samples[0])
    return (
        isinstance(mask, AttentionMask) and spans_of(mask, next(planes(mask)), np.arange(row_count(mask))) is not None
    )


MASKS = [name for name in maskkit.names("mask") if has_spans(name)]


# -- dense arrays -----------------------------------------------------------------------------------------------------


def beside(benchmark, floor, call, rounds=9, calls=1):
    """In every round so many calls follow one of the floor, so that both meet the same machine.

    `extra_info` holds the ratio of the medians, both ways round.
    """
    seconds = []

    def run_floor():
        if len(benchmark.stats.stats.data) % calls == 0:
            start = time.perf_counter()
            floor()
            seconds.append(time.perf_counter() - start)

    benchmark.pedantic(call, setup=run_floor, rounds=rounds * calls, warmup_rounds=1)
    floor_seconds = statistics.median(seconds)
    benchmark.extra_info["floor_ms"] = floor_seconds * 1e3
    benchmark.extra_info["ratio"] = benchmark.stats.stats.median / floor_seconds
    benchmark.extra_info["times_faster"] = floor_seconds / benchmark.stats.stats.median


@pytest.mark.parametrize("seq_len", [4096, 16384])
@pytest.mark.parametrize("name", MASKS)
def test_dense_bool(benchmark, name, seq_len):
    benchmark.group = f"dense bool, {seq_len} x {seq_len}, beside numpy.ones"
    rounds = 41 if seq_len == 4096 else 9
    beside(benchmark, partial(np.ones, (seq_len, seq_len), bool), build(name, seq_len).allowed, rounds)


@pytest.mark.parametrize("name", MASKS)
def test_bias(benchmark, name):
    benchmark.group = "float32 bias, 4096 x 4096, beside numpy.full"
    beside(benchmark, partial(np.full, (4096, 4096), -np.inf, np.float32), build(name, 4096).bias, rounds=41)


def test_dense_bool_of_many_intervals(benchmark):
    """Half of the tokens are padding, drawn at random; beside what a user would write with NumPy."""
    padding = np.random.default_rng(0).random((2, 4096)) < 0.5
    mask = maskkit.create("padding", padding_mask=padding)
    beside(benchmark, lambda: ~(padding[:, :, None] | padding[:, None, :]), mask.allowed)


# -- block maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [4096, 16384])
@pytest.mark.parametrize("name", MASKS)
def test_flex(benchmark, name, seq_len):
    """Beside eager `create_block_mask` on the mask's predicate, to which it is equal in all eight arrays."""
    benchmark.group = f"FlexAttention block mask, {seq_len}, beside create_block_mask"
    mask = build(name, seq_len)
    *batch, _, _ = mask.shape

    def predicate(b, h, q, kv):
        return mask.allows(b, q, kv) if batch else mask.allows(q, kv)

    torch_way = partial(create_block_mask, predicate, *(batch or [None]), None, seq_len, seq_len, "cpu")
    theirs, ours = torch_way(), mask.to_flex()
    for array in FLEX_ARRAYS:
        assert torch.equal(getattr(ours, array), getattr(theirs, array)), array
    # Torch's way leaves the caches full of its own: the first of our calls takes about twice the time of the others.
    beside(benchmark, torch_way, mask.to_flex, rounds=3, calls=5)


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=256)"])
def test_flex_at_a_million(benchmark, expression):
    """In a process of its own, whose peak memory Linux tells; the floor is to write as many bytes in one too."""
    tables = "[numpy.full(2**26, 1, numpy.int32) for _ in range(4)]"
    floor, ours = zip(
        *((_apart(expression, tables), _apart(expression, "mask.to_flex()")) for _ in range(3)), strict=True
    )
    benchmark.extra_info["floor_seconds"] = statistics.median(seconds for seconds, _ in floor)
    benchmark.extra_info["seconds"] = statistics.median(seconds for seconds, _ in ours)
    benchmark.extra_info["mebibytes"] = max(mebibytes for _, mebibytes in ours)
    benchmark.pedantic(lambda: None)


def _apart(expression, work):
    """Seconds and MiB of some work in a process of its own."""
    # Not `ru_maxrss`, which a process takes over from the one that starts it.
    code = f"""
import maskkit, numpy, pathlib, re, time
def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1]) / 1024
mask = maskkit.parse({expression!r}, seq_len={MILLION})
mask[:4096, :4096].to_flex()
before, start = peak(), time.perf_counter()
made = {work}
print(time.perf_counter() - start, peak() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


@pytest.mark.parametrize(
    "expression", ["causal", "sliding_window(window_size=256)", "causal & ~banded(band_width=1001)"]
)
@pytest.mark.parametrize("figure", ["blocks", "stats"])
def test_figures_at_a_million(benchmark, expression, figure):
    benchmark.group = f"{figure} of a million tokens"
    mask = maskkit.parse(expression, seq_len=MILLION)
    tracemalloc.start()
    getattr(mask, figure)()
    benchmark.extra_info["mebibytes"] = tracemalloc.get_traced_memory()[1] / 2**20
    tracemalloc.stop()
    benchmark(getattr(mask, figure))


# -- algebra ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["numpy.minimum", "a & b", "a | b", "~a", "a ^ b"])
def test_algebra_of_a_million_rows(benchmark, operation):
    benchmark.group = "algebra of a million rows, window and documents"
    q = np.arange(MILLION)
    a = Spans.interval(q - 255, q + 1).within(MILLION)
    b = Spans.interval(q // 500 * 500, q // 500 * 500 + 500).within(MILLION)
    if operation == "numpy.minimum":
        benchmark(np.minimum, a.lo[0], b.lo[0])
    else:
        benchmark(eval, operation, {"a": a, "b": b})


# -- calls ------------------------------------------------------------------------------------------------------------


def test_create(benchmark):
    maskkit.create("causal", seq_len=64)
    benchmark(maskkit.create, "causal", seq_len=64)


@pytest.mark.parametrize("command", ["import typer, rich.table", "from maskkit.cli import main; main(['list'])"])
def test_list_command(benchmark, command):
    benchmark.group = "maskkit list, whole process"
    benchmark.pedantic(
        subprocess.run, ([sys.executable, "-c", command],), dict(stdout=subprocess.DEVNULL, check=True), rounds=9
    )
