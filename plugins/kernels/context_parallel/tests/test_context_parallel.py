"""Attention over ranks is that of one process, by the keys that spans need; and whoever fails is named."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import maskkit
from maskkit.errors import ConfigError, NoKernel
from maskkit_kernel_context_parallel import ContextParallel, LoadBalancer, generate_permutation

WORKER = Path(__file__).with_name("worker.py")


def run(ranks, how, script=WORKER):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, script, how], capture_output=True, text=True, timeout=240, env=environment)


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_all_cases_are_those_of_one_process(ranks):
    """Masks, plans, gradients, counted bytes, training, disagreement: see the worker."""
    result = run(ranks, "all")
    assert result.returncode == 0, result.stderr[-3000:]
    assert result.stdout.count("done") == ranks


@pytest.mark.slow
def test_a_model_of_transformers_has_the_scores_of_one_process():
    result = run(2, "", WORKER.with_name("recipe.py"))
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
def test_flex_attention_under_torchs_own_context_parallelism_keeps_the_mask():
    """Rows dealt out by the load balancer, and the mask along with them."""
    result = run(2, "", WORKER.with_name("balanced.py"))
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code", "others", "own"),
    [
        ("die", 7, "RankError: rank 3 is gone", ""),
        (
            "late",
            1,
            "RankError: rank 3 is gone, or later than the time-out",
            "gave up on rank 3, which is this one, if that came later",
        ),
    ],
    ids=["dies", "late"],
)
def test_a_rank_that_fails_is_named_on_all(how, code, others, own):
    """Started one by one, for torchrun would end the others before they notice."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(free.getsockname()[1])}
    environment = os.environ | where | {"OMP_NUM_THREADS": "1", "WORLD_SIZE": "4"}
    started = [
        subprocess.Popen(
            [sys.executable, WORKER, how], stderr=subprocess.PIPE, text=True, env=environment | {"RANK": r}
        )
        for r in "0123"
    ]
    errors = [process.communicate(timeout=120)[1] for process in started]
    assert [process.returncode for process in started] == [1, 1, 1, code]
    for error in errors[:3]:
        assert others in error, error
    assert own in errors[3], errors[3]


@pytest.mark.slow
def test_torchrun_says_which_rank_was_the_first_to_end():
    result = run(4, "die")
    assert result.returncode
    assert "exitcode  : 7" in result.stderr


def test_it_fits_no_problem_of_one_process():
    causal = maskkit.create("causal", seq_len=8)
    x = torch.ones(1, 1, 8, 4)
    with pytest.raises(NoKernel, match=r"give shards=maskkit\.shards"):
        maskkit.attend(x, x, x, causal, kernel=ContextParallel())


def test_without_a_process_group_it_says_how_to_start():
    causal = maskkit.create("causal", seq_len=8)
    x = torch.ones(1, 1, 8, 4)
    with pytest.raises(ConfigError, match="init_process_group"):
        maskkit.attend(x, x, x, causal, shards=maskkit.shards(causal, 1, chunk=8))


def test_torchs_load_balancer_gives_the_rows_of_ranks_and_back():
    shards = maskkit.shards(maskkit.create("causal", seq_len=64), 4, chunk=8)
    balancer = LoadBalancer(shards, attention="flex_attention")
    order = balancer._generate_indices()[0]
    assert torch.equal(order.view(4, 16), torch.from_numpy(np.stack([shards.rows(rank) for rank in range(4)])))
    assert torch.equal(order[balancer._generate_indices(restore=True)[0]], torch.arange(64))
    assert torch.equal(generate_permutation(shards, attention="flex_attention"), order)


@pytest.fixture
def mesh(tmp_path):
    """Of this process alone."""
    from torch.distributed.device_mesh import init_device_mesh

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_torch_shards_a_buffer_by_it(mesh):
    from torch.distributed.tensor.experimental._attention import _context_parallel_shard

    shards = maskkit.shards(maskkit.create("causal", seq_len=64), 1, chunk=8)
    balancer = LoadBalancer(shards, attention="flex_attention")
    [rows] = _context_parallel_shard(mesh, [torch.arange(64)[None]], [1], load_balancer=balancer)
    assert torch.equal(rows[0], torch.from_numpy(shards.rows(0)))


def test_unequal_ranks_are_refused_where_torch_cuts_equally():
    shards = maskkit.shards(maskkit.create("causal", seq_len=60), 4, chunk=8)
    with pytest.raises(ConfigError, match="equal parts"):
        generate_permutation(shards, attention="flex_attention")


def test_an_attention_that_would_drop_the_mask_is_refused():
    shards = maskkit.shards(maskkit.create("causal", seq_len=64), 4, chunk=8)
    for make in (LoadBalancer, generate_permutation):
        with pytest.raises(ConfigError, match="wrong results without a word; use maskkit"):
            make(shards, attention="scaled_dot_product_attention")


def test_parts_of_torchs_own_are_refused(mesh):
    """A mask in the call that Torch's context parallelism makes of `scaled_dot_product_attention`."""
    from torch.distributed.tensor import DTensor, Shard

    causal = maskkit.create("causal", seq_len=8)
    x = DTensor.from_local(torch.ones(1, 1, 8, 4), mesh, [Shard(2)])
    for call in (
        lambda: maskkit.attend(x, x, x, causal),
        lambda: maskkit.attend(x, x, x, causal, shards=maskkit.shards(causal, 1, chunk=8)),
        lambda: torch.nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=causal),
    ):
        with pytest.raises(ConfigError, match="got a DTensor"):
            call()


def test_another_torch_is_refused(monkeypatch):
    from maskkit_kernel_context_parallel import _torch_cp

    monkeypatch.setattr(torch, "__version__", "2.8.0")
    with pytest.raises(ConfigError, match=r"known for Torch 2\.13, not 2\.8\.0"):
        _torch_cp._base()


def test_shards_are_plain_data():
    shards = maskkit.shards(maskkit.create("causal", seq_len=1000), 4, chunk=8)
    assert maskkit.Shards.from_dict(json.loads(json.dumps(shards.to_dict()))) == shards
