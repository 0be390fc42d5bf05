"""The example of long contexts: ranks and a run that went on from a checkpoint have the losses of one process."""

import os
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
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(line.split()[-1]) for line in done.stdout.splitlines() if line.startswith("step")]


@pytest.mark.slow
def test_ranks_and_a_resumed_run_have_the_losses_of_one_process(tmp_path):
    """Four ranks, then two that go on from their checkpoint."""
    checkpoint = tmp_path / "run.pt"
    first = losses("--steps", 3, "--checkpoint", checkpoint, ranks=4)
    rest = losses("--steps", 5, "--checkpoint", checkpoint, ranks=2)
    assert first + rest == pytest.approx(losses("--steps", 5), abs=1e-5)
