"""The example of long contexts: ranks and a run that went on from a checkpoint have the losses of one process."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "long_context.py"


def losses(*arguments, ranks=None):
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}"] if ranks else []
    command = [sys.executable, *launch, EXAMPLE, "--length", "256", *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=240, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[:2000]
    return [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("step")]


@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_run_with_one_message():
    """All that stands in the error stream."""
    command = [sys.executable, EXAMPLE, "--ranks", "4", "--length", "256", "--steps", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    run = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert run.stdout.readline().startswith("step 1")
        ranks = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
        [killed] = [pid for pid in ranks if b"\0LOCAL_RANK=2\0" in Path(f"/proc/{pid}/environ").read_bytes()]
        os.kill(int(killed), signal.SIGKILL)
        _, said = run.communicate(timeout=60)
    finally:
        run.kill()
    assert run.returncode == 1
    assert (
        said
        == "rank 2 was ended by SIGKILL, and the run with it; with --checkpoint, the same command goes on from there\n"
    )


@pytest.mark.slow
def test_ranks_and_a_resumed_run_have_the_losses_of_one_process(tmp_path):
    """Four ranks, then two that go on from their checkpoint."""
    checkpoint = tmp_path / "run.pt"
    first = losses("--steps", 3, "--checkpoint", checkpoint, ranks=4)
    rest = losses("--steps", 5, "--checkpoint", checkpoint, ranks=2)
    assert first + rest == pytest.approx(losses("--steps", 5), abs=1e-5)
