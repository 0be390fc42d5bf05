"""How long masks take, and how much longer a plain loop over samples takes; run with `make bench`.

The loop draws the same law a sample at a time (one Python step a block and try, then a stack of the samples). Loop and
sampler are timed in turn, so that a busy machine slows both; `extra_info` has the medians and two ratios of them:
`ratio` for calls `strategy(batch_size)`, over many calls in a row, since they draw ahead, and `sample_ratio` for
`strategy.sample(ids)`, where nothing is drawn ahead. Both give Torch booleans.
"""

import statistics
import time
import warnings
from functools import partial

import numpy as np
import pytest
import torch
import maskkit
from maskkit_jepa.testing.reference import allow_sample, disjoint_sample, legacy_sample
from maskkit_jepa.testing.reference_ijepa import ijepa_compat_sample, ijepa_sample
from maskkit_jepa.testing.reference_video import video_sample

ROUNDS = 9
LOOPED = 32
"""Samples of a round of the loop; its cost does not depend on the batch."""
CALLED = 16_384
"""Samples of a round of calls: many times what they draw ahead, and a few milliseconds, as the loop takes."""
LAWS = {"disjoint": disjoint_sample, "allow": allow_sample, "legacy": legacy_sample}


def strategies():
    """Ids, strategies, and a loop over samples for each of their parts."""
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    for overlap in ("disjoint", "legacy"):
        strategy = maskkit.create("multi_block", overlap=overlap, seed=0)
        yield f"multi_block-{overlap}", strategy, [partial(LAWS[overlap], rng, strategy.config.request())]
    for overlap in ("disjoint", "legacy"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            strategy = maskkit.create("hierarchical", overlap=overlap, seed=0)
        laws = [LAWS[blocks.plan.overlap] for blocks in strategy.levels]
        loops = [partial(law, rng, strategy.config.request(i)) for i, law in enumerate(laws)]
        yield f"hierarchical-{overlap}", strategy, loops
    for law in (ijepa_sample, ijepa_compat_sample):
        strategy = maskkit.create("ijepa", compat=law is ijepa_compat_sample, seed=0)
        name = "ijepa-compat" if strategy.compat else "ijepa"
        yield name, strategy, [partial(law, generator, strategy.config.request())]
    strategy = maskkit.create("vjepa", seed=0)
    yield "vjepa", strategy, [partial(video_sample, generator, request) for request in strategy.config.requests()]


def loop(laws, batch_size):
    """The same law, a sample at a time, as Torch booleans."""
    for law in laws:
        samples = [law() for _ in range(batch_size)]
        for parts in zip(*samples, strict=True):
            if isinstance(parts[0], torch.Tensor):
                torch.stack(parts).flatten(1)
            else:
                torch.from_numpy(np.stack([part.reshape(*part.shape[:-2], -1) for part in parts]))


def sample(strategy, start, batch_size):
    drawn = strategy.sample(range(start, start + batch_size))
    return [tuple(batch) for batch in (drawn.values() if isinstance(drawn, dict) else [drawn])]


def call(strategy, calls, batch_size):
    for _ in range(calls):
        drawn = strategy(batch_size)
        [tuple(batch) for batch in (drawn.values() if isinstance(drawn, dict) else [drawn])]


def seconds(function, *args):
    start = time.perf_counter()
    function(*args)
    return time.perf_counter() - start


@pytest.mark.parametrize("batch_size", [8, 64, 256, 2048])
@pytest.mark.parametrize(("strategy", "laws"), [pytest.param(s, laws, id=name) for name, s, laws in strategies()])
def test_masks_of_a_batch(benchmark, strategy, laws, batch_size):
    strategy(batch_size)
    sample(strategy, 0, batch_size)
    calls, repeats = max(1, CALLED // batch_size), max(1, 128 // batch_size)
    looped, called, sampled = [], [], []
    for i in range(ROUNDS if benchmark.enabled else 1):
        looped.append(seconds(loop, laws, LOOPED) / LOOPED)
        called.append(seconds(call, strategy, calls, batch_size) / calls / batch_size)
        looped.append(seconds(loop, laws, LOOPED) / LOOPED)
        starts = [(i * repeats + j) * batch_size for j in range(repeats)]
        sampled += [seconds(sample, strategy, start, batch_size) / batch_size for start in starts]
    loop_us, call_us, sample_us = (1e6 * statistics.median(times) for times in (looped, called, sampled))
    benchmark.extra_info.update(
        loop_us=round(loop_us, 1),
        call_us=round(call_us, 2),
        sample_us=round(sample_us, 2),
        ratio=round(loop_us / call_us, 1),
        sample_ratio=round(loop_us / sample_us, 1),
    )
    benchmark(strategy, batch_size)
