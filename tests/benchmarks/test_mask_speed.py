"""Speed of masks against the floor and against what a user would call instead: `make bench`, and read the ratios.

Each group holds the same work done in several ways, in one run; pytest-benchmark prints the ratio to the fastest.
`extra_info` holds peak memory in MiB where it matters.
"""

import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from torch.nn.attention.flex_attention import create_block_mask
import maskkit
from maskkit import Spans

MILLION = 2**20
DENSE = {
    "causal": "causal",
    "sliding_window": "sliding_window(window_size=256)",
    "banded": "banded(band_width=257)",
    "block_diagonal": "block_diagonal(block_size=128)",
    "prefix_lm": "prefix_lm(prefix_len=1000)",
    "sink": "sink(window_size=256)",
    "longformer": "longformer(window_size=256, global_tokens=(0, 1, 2, 3))",
    "bigbird": "bigbird(seed=1)",
    "chunked": "chunked(chunk_size=512)",
    "block_causal": "block_causal(block_size=256)",
}


# -- dense arrays -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seq_len", [4096, 16384])
@pytest.mark.parametrize("way", ["numpy.ones", "torch.tril", "comparison", *DENSE])
def test_dense_bool(benchmark, way, seq_len):
    benchmark.group = f"dense bool, {seq_len} x {seq_len}"
    if way == "numpy.ones":
        benchmark(np.ones, (seq_len, seq_len), bool)
    elif way == "torch.tril":
        benchmark(lambda: torch.ones(seq_len, seq_len, dtype=torch.bool).tril())
    elif way == "comparison":
        index = np.arange(seq_len)
        benchmark(lambda: index[None, :] <= index[:, None])
    else:
        benchmark(maskkit.parse(DENSE[way], seq_len=seq_len).allowed)


@pytest.mark.parametrize("way", ["numpy.full", *DENSE])
def test_bias(benchmark, way):
    benchmark.group = "float32 bias, 4096 x 4096"
    if way == "numpy.full":
        benchmark(np.full, (4096, 4096), -np.inf, np.float32)
    else:
        benchmark(maskkit.parse(DENSE[way], seq_len=4096).bias)


# -- block maps -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["to_flex", "create_block_mask"])
@pytest.mark.parametrize("name", ["causal", "sliding_window", "sink"])
@pytest.mark.parametrize("seq_len", [4096, 16384])
def test_flex(benchmark, name, way, seq_len):
    benchmark.group = f"FlexAttention block mask of {name}, {seq_len}"
    mask = maskkit.parse(DENSE[name], seq_len=seq_len)
    if way == "to_flex":
        benchmark(mask.to_flex)
    else:
        mask_mod = mask.mask_mod()
        benchmark.pedantic(create_block_mask, (mask_mod, None, None, seq_len, seq_len, "cpu"), rounds=3)


@pytest.mark.parametrize("expression", ["causal", "sliding_window(window_size=256)"])
def test_flex_at_a_million(benchmark, expression):
    """In a process of its own, whose peak memory the operating system tells."""
    code = (
        f"import maskkit, resource, time; mask = maskkit.parse({expression!r}, seq_len={MILLION}); "
        "mask[:4096, :4096].to_flex(); "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss; start = time.perf_counter(); mask.to_flex(); "
        "print(time.perf_counter() - start, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)"
    )

    def run():
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        return [float(word) for word in done.stdout.split()]

    seconds, mebibytes = zip(*(run() for _ in range(3)), strict=True)
    benchmark.extra_info.update(seconds=sorted(seconds)[1], mebibytes=max(mebibytes))
    benchmark.pedantic(lambda: None)


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
