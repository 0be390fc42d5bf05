"""How long masks take, and how much longer a plain loop over samples takes; run with `make bench`.

The loop has the cost of the first implementation (one Python step a block and try, then a stack of the samples). Loop
and sampler are timed in turn, so that a busy machine slows both; the medians' ratio stands in `extra_info`.
"""

import statistics
import time
import warnings

import numpy as np
import pytest
import torch
import maskkit
from maskkit.jepa.reference import legacy_sample

ROUNDS = 9
LOOPED = 32
"""Samples of a round of the loop; its cost does not depend on the batch."""


def strategies():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        multi_block = maskkit.create("multi_block", seed=0)
        hierarchical = maskkit.create("hierarchical", seed=0)
    yield "multi_block", multi_block, [multi_block.config.request()]
    yield "hierarchical", hierarchical, [hierarchical.config.request(level) for level in range(3)]


def loop(requests, batch_size):
    """The first implementation's law, a sample at a time, as Torch booleans."""
    rng = np.random.default_rng(0)
    for request in requests:
        samples = [legacy_sample(rng, request) for _ in range(batch_size)]
        for parts in zip(*samples, strict=True):
            torch.from_numpy(np.stack([part.reshape(*part.shape[:-2], -1) for part in parts]))


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


@pytest.mark.parametrize("batch_size", [8, 64, 256, 2048])
@pytest.mark.parametrize(("strategy", "requests"), [pytest.param(s, r, id=name) for name, s, r in strategies()])
def test_masks_of_a_batch(benchmark, strategy, requests, batch_size):
    strategy(batch_size)
    repeats = max(1, 256 // batch_size)
    looped, ours = [], []
    for _ in range(ROUNDS if benchmark.enabled else 1):
        looped.append(seconds(lambda: loop(requests, LOOPED)) / LOOPED)
        ours += [seconds(lambda: strategy(batch_size)) / batch_size for _ in range(repeats)]
    benchmark.extra_info.update(
        loop_us=round(1e6 * statistics.median(looped), 1),
        sample_us=round(1e6 * statistics.median(ours), 2),
        ratio=round(statistics.median(looped) / statistics.median(ours), 1),
    )
    benchmark(strategy, batch_size)
