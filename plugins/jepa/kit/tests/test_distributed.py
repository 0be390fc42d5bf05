"""Two ranks of `torch.distributed`, started by torchrun: their masks differ, and together are those of one process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import maskkit

RANK = Path(__file__).with_name("distributed_rank.py")
CONFIG = {"type": "multi_block", "input_size": 96, "seed": 9}
BATCH, STEPS, SAMPLES = 8, 4, 64


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """What the two ranks drew, by the way they drew it: arrays (2, samples, ...)."""
    folder = tmp_path_factory.mktemp("ranks")
    # A store of this machine alone: torchrun's own one would look for the machine's name in the network.
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "1", "--nproc-per-node", "2"]
    command += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0", "--local-addr", "127.0.0.1"]
    env = {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(RANK), str(folder)], env=env, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr
    return {path.stem: dict(np.load(path)) for path in folder.glob("*.npz")}


def test_ranks_draw_different_masks_of_the_same_shapes(run):
    """That the shapes agree was checked by the ranks, who gathered each other's tensors."""
    context, targets, index = (run["loop"][name] for name in ("context", "targets", "index"))
    assert context.shape == (2, STEPS * BATCH, 36)
    assert targets.shape == (2, STEPS * BATCH, 4, 36)
    assert index.shape == (2, STEPS * BATCH, 10)
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        assert (targets[0, rows] != targets[1, rows]).any(axis=(1, 2)).all()


def test_ranks_together_draw_the_masks_of_one_process(run):
    strategy = maskkit.create(CONFIG)
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        whole = strategy.at(step, 2 * BATCH)
        for name, drawn in (("context", whole.context), ("targets", whole.targets)):
            np.testing.assert_array_equal(np.concatenate(run["loop"][name][:, rows]), drawn)
        trimmed = whole.to_indices(10, target_count=6).context
        np.testing.assert_array_equal(np.concatenate(run["loop"]["index"][:, rows]), trimmed)


def test_loaders_with_workers_give_each_sample_its_masks_once(run):
    """Two ranks with two workers each; the samples are those of one process, and so are their masks."""
    numbers, context, targets = (np.concatenate(run["loader"][name]) for name in ("numbers", "context", "targets"))
    assert sorted(numbers) == list(range(SAMPLES))
    drawn = maskkit.create(CONFIG).sample(torch.from_numpy(numbers), epoch=1)
    np.testing.assert_array_equal(context, drawn.context)
    np.testing.assert_array_equal(targets, drawn.targets)


def test_ranks_resume_in_the_middle_of_an_epoch(run):
    for name, whole in run["loader"].items():
        np.testing.assert_array_equal(run["resumed"][name], whole[:, 2 * BATCH :])
