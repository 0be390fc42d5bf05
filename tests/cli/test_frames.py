"""`maskkit render --steps`: a strategy over the steps of a training, as a picture that moves."""

import json
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image
import maskkit
from maskkit.cli import run

GROWING = json.dumps({"ratio": {"start": 0.1, "end": 0.9, "steps": 100}})
COMMAND = ["render", "curriculum", "--strategy", '{"type": "random_patch", "input_size": 64}', "--schedules", GROWING]


@pytest.mark.parametrize("name", ["x.gif", "x.apng"])
def test_one_frame_for_each_step(name, tmp_path):
    run([*COMMAND, "--seed", "0", "--steps", "0:101:25", "-o", str(tmp_path / name)])
    with Image.open(tmp_path / name) as picture:
        assert picture.n_frames == 5
        frames = []
        for i in range(5):
            picture.seek(i)
            frames.append(np.asarray(picture.convert("RGB"), dtype=int))
    assert all((a != b).any() for a, b in pairwise(frames))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "0:10:1"], "--steps writes a file that moves: give -o NAME.gif"),
        (["--steps", "0:10:1", "-o", "x.png"], "--steps writes a file that moves"),
        (["--steps", "0:10", "-o", "x.gif"], "--steps must be FIRST:END:EVERY"),
        (["--steps", "5:5:1", "-o", "x.gif"], "must give 1 .. 500 steps"),
        (["--steps", "0:10000:1", "-o", "x.gif"], "gives 10,000"),
    ],
)
def test_what_cannot_be_animated_is_refused(arguments, words, capsys):
    assert run([*COMMAND, *arguments])
    assert words in capsys.readouterr().err


def test_a_mask_does_not_change_with_the_step():
    with pytest.raises(maskkit.ConfigError, match="causal is the same at every step"):
        maskkit.create("causal", seq_len=4).pictures(range(3))


def test_a_strategy_without_a_schedule_has_nothing_to_animate():
    with pytest.raises(maskkit.ConfigError, match="the same masks at all of these steps"):
        maskkit.create("random_patch", input_size=64, seed=0).pictures(range(3))
