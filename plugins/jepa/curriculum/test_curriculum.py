"""Curricula: the contract, and the facts."""

import math

import numpy as np
import pytest
import yaml
from maskkit_jepa_curriculum import Curriculum
import maskkit
from maskkit import ConfigError
from maskkit_jepa.testing import check_strategy, same


def ratio(stages=1000, seed=0, **schedule):
    """Random patches of 32 x 32 tokens, whose share follows a schedule."""
    return maskkit.create(
        "curriculum",
        strategy=dict(type="random_patch", input_size=512, patch_size=16),
        schedules=dict(ratio=schedule),
        stages=stages,
        seed=seed,
    )


def shares(strategy, steps):
    return [strategy.config.values(step)["ratio"] for step in steps]


def test_contract():
    check_strategy(Curriculum)


def test_linear_and_cosine_are_these_functions_of_the_step():
    steps = [0, 100, 350, 600, 850, 1100, 5000]
    way = [0, 0, 0.25, 0.5, 0.75, 1, 1]
    linear = ratio(start=0.2, end=0.8, steps=1000, begin=100)
    assert shares(linear, steps) == pytest.approx([0.2 + 0.6 * x for x in way])
    cosine = ratio(shape="cosine", start=0.2, end=0.8, steps=1000, begin=100)
    assert shares(cosine, steps) == pytest.approx([0.2 + 0.3 * (1 - math.cos(math.pi * x)) for x in way])


def test_piecewise_and_constant():
    pieces = ratio(shape="piecewise", points=[(100, 0.2), (200, 0.6), (400, 0.5)])
    assert shares(pieces, [0, 100, 150, 200, 300, 999]) == pytest.approx([0.2, 0.2, 0.4, 0.6, 0.55, 0.5])
    assert shares(ratio(shape="constant", start=0.3), [0, 10**6]) == [0.3, 0.3]


@pytest.mark.parametrize("steps", [1, 3, 10, 1000])
def test_a_way_has_so_many_equal_stages(steps):
    """Values move in `stages` equal changes, all of them known before, and end where they should."""
    strategy = ratio(stages=4, start=0.2, end=0.6, steps=steps)
    seen = shares(strategy, range(steps + 2))
    assert set(seen) <= {0.2, 0.3, 0.4, 0.5, 0.6}
    assert (seen[0], seen[-1], seen) == (0.2, 0.6, sorted(seen))
    moved = {step for step in range(1, steps + 2) if seen[step] != seen[step - 1]}
    assert moved <= set(strategy.config.steps())


def test_the_masks_are_those_of_the_strategy_with_the_parameters_of_the_step():
    strategy = ratio(start=0.2, end=0.8, steps=1000)
    for step, share in ((0, 0.2), (500, 0.5), (1000, 0.8), (10_000, 0.8)):
        plain = maskkit.create("random_patch", input_size=512, patch_size=16, ratio=share, seed=0)
        assert same(strategy.sample(range(8), step=step), plain.sample(range(8)))
        assert strategy.sample(range(8), step=step).arrays[1].mean() == pytest.approx(share, abs=1 / 1024)


def test_a_step_can_be_gone_back_to():
    """Purity: (seed, epoch, id, step) alone, whatever was drawn in between, and after a resume."""
    strategy = ratio(start=0.2, end=0.8, steps=10)
    first = strategy.at(3, 4)
    for step in range(10):
        strategy.at(step, 4)
    assert same(first, strategy.at(3, 4))
    assert same(first, ratio(start=0.2, end=0.8, steps=10).sample(range(12, 16), step=3))


def test_calls_count_the_steps():
    strategy = ratio(start=0.2, end=0.8, steps=6, stages=6)
    found = [strategy(2).numpy().targets.mean() for _ in range(8)]
    assert found == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.8], abs=1 / 1024)


def test_whole_parameters_stay_whole_and_settings_inside_have_paths():
    strategy = maskkit.create(
        "curriculum",
        strategy=dict(type="vjepa", num_frames=4, input_size=64),
        schedules={"masks.short.num_blocks": dict(start=1, end=8, steps=100)},
        seed=0,
    )
    blocks = [strategy.config.at(step).masks[0].num_blocks for step in (0, 50, 100)]
    assert blocks == [1, 4, 8]
    assert [mask.num_blocks for mask in strategy.config.at(100).masks] == [8, 2]


def test_scores_reach_the_strategy_inside():
    """Hard Patches Mining: the share of hard patches grows, the rest is random."""
    strategy = maskkit.create(
        "curriculum",
        strategy=dict(type="score_guided", ratio=0.5),
        schedules=dict(mix=dict(start=1.0, end=0.0, steps=100)),
        seed=0,
    )
    scores = np.tile(np.arange(196.0), (200, 1))
    hard = [strategy.sample(range(200), step=step, scores=scores).arrays[1][:, 0, 98:].mean() for step in (0, 50, 100)]
    assert hard == pytest.approx([0.5, 2 / 3, 1.0], abs=0.02)  # half by score; half of 49 + 98 others


def test_the_config_survives_a_yaml_file(tmp_path):
    config = ratio(start=0.2, end=0.8, steps=10).config
    (tmp_path / "curriculum.yaml").write_text(yaml.safe_dump(maskkit.to_dict(config)))
    assert maskkit.load(tmp_path / "curriculum.yaml").config == config


def test_a_step_is_needed():
    with pytest.raises(ConfigError, match=r"a curriculum draws by the step of the training: sample\(ids, epoch, step"):
        ratio(start=0.2, end=0.8, steps=10).sample([0])


LINEAR = dict(start=0.1, end=0.2, steps=3)


@pytest.mark.parametrize(
    ("strategy", "schedules", "words"),
    [
        ("random_patch", {}, "schedules must be a mapping of names to settings"),
        ("random_patch", dict(rati=LINEAR), "schedules at step 0, rati=0.1: unknown parameter 'rati'; did you mean"),
        ("random_patch", dict(seed=LINEAR), "unknown parameter 'seed'"),
        ("random_patch", dict(ratio=LINEAR | dict(end=2.0)), "schedules at step .*ratio must be between 0.0 and 1.0"),
        ("random_patch", dict(ratio=dict(start=0.1, steps=3)), r"'linear' takes start, end, steps, but end is missing"),
        ("random_patch", dict(ratio=LINEAR | dict(shape="cubic")), "shape must be one of 'constant', 'linear'"),
        ("random_patch", dict(ratio=LINEAR | dict(end="a")), "values must be numbers, or pairs of numbers throughout"),
        ("random_patch", dict(ratio=LINEAR | dict(end=(0.1, 0.2))), "pairs of numbers throughout"),
        ("random_patch", dict(ratio=dict(shape="piecewise", points=[(5, 0.1), (2, 0.3)])), "steps ascending"),
        ("multi_block", dict(patch_size=dict(start=16, end=21, steps=3)), "input_size must be divisible by patch_size"),
        ("multi_block", dict(patch_size=dict(start=16, end=32, steps=1)), "the grid must stay"),
        ("multi_block", dict(target_scale=dict(start=(0.1, 0.2), end=(0.5, 0.9), steps=3)), "cannot be disjoint"),
        ("nosuch", dict(ratio=LINEAR), "strategy: Unknown strategy 'nosuch'"),
        (3, dict(ratio=LINEAR), "strategy must be a strategy: its name, or a mapping with a type, got 3"),
    ],
)
def test_wrong_parameters_are_named_with_the_way_out(strategy, schedules, words):
    """Every value that a schedule will ever take is checked when the strategy is made."""
    with pytest.raises(ConfigError, match=words):
        maskkit.config("curriculum", strategy=strategy, schedules=schedules, stages=1)
