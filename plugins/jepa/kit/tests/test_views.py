"""Masks as booleans, numbers, bits, boxes, figures and pictures: all the same masks."""

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
import maskkit
from maskkit import ConfigError
from maskkit_jepa import MaskBatch, MaskGroups, keys, mask_statistics, paint
from maskkit_jepa.batch.pictures import overview


def batch_of(context, targets, grid, **more):
    context, targets = np.array(context, bool), np.array(targets, bool)
    return MaskBatch(
        context=context, targets=targets, grid=grid, sample_keys=keys(0, 0, np.arange(len(context))), **more
    )


@pytest.fixture
def small():
    """Two samples of 2 x 3 tokens: contexts of 3 and 1 tokens, two targets each."""
    return batch_of(
        [[1, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 1]],
        [[[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]], [[1, 1, 0, 0, 0, 0], [0, 1, 0, 0, 1, 0]]],
        (2, 3),
    )


def test_a_batch_unpacks_and_is_a_mapping(small):
    context, targets = small
    assert context is small.context
    assert small["targets"] is targets
    assert dict(small).keys() == {"context", "targets"}
    assert "context" in small
    with pytest.raises(KeyError):
        small["union"]


def test_the_union_is_what_any_target_holds(small):
    assert small.numpy().union.tolist() == [[0, 1, 0, 0, 1, 1], [1, 1, 0, 0, 1, 0]]


def test_libraries_and_devices(small):
    assert isinstance(small.context, torch.Tensor)
    assert isinstance(small.numpy().context, np.ndarray)
    assert small.torch("meta").context.device.type == "meta"
    assert np.asarray(small.on("jax").targets).tolist() == small.numpy().targets.tolist()
    with pytest.raises(ConfigError, match="device must be one that torch can use here"):
        _ = small.to("no_such_device").context


# -- indices ----------------------------------------------------------------------------------------------------------


def test_indices_are_padded_to_the_longest(small):
    index = small.numpy().to_indices(pad=-1)
    assert index.context.tolist() == [[0, 2, 3], [5, -1, -1]]
    assert index.context_valid.tolist() == [[True, True, True], [True, False, False]]
    assert index.targets.tolist() == [[[1, -1], [4, 5]], [[0, 1], [1, 4]]]
    assert index.targets_valid.tolist() == [[[True, False], [True, True]], [[True, True], [True, True]]]


def test_restore_leads_every_token_home(small):
    """Context tokens by their column, the rest by their rank behind the columns."""
    assert small.numpy().to_indices().restore.tolist() == [[0, 3, 1, 2, 4, 5], [3, 4, 5, 6, 7, 0]]


def test_restore_is_maes_when_counts_agree():
    """`gather(cat([kept, rest]), restore)` is the identity."""
    batch = maskkit.create("multi_block", seed=1).sample(range(20)).numpy()
    index = batch.to_indices(count=20, target_count="max")
    for row in range(20):
        kept = index.context[row]
        rest = np.setdiff1d(np.arange(196), kept)
        assert np.concatenate([kept, rest])[index.restore[row]].tolist() == list(range(196))


def test_prefix_tokens_come_first_and_shift_the_rest(small):
    index = small.numpy().to_indices(num_prefix_tokens=2)
    assert index.context.tolist() == [[0, 1, 2, 4, 5], [0, 1, 7, 0, 0]]
    assert index.targets[0].tolist() == [[3, 0], [6, 7]]
    assert index.restore[1].tolist() == [0, 1, 5, 6, 7, 8, 9, 2]


def test_counts(small):
    assert small.to_indices("min").context.shape == (2, 1)
    assert small.to_indices("min").targets.shape == (2, 2, 1)
    assert small.to_indices(5).context.shape == (2, 5)
    assert small.to_indices(5).targets.shape == (2, 2, 2)
    assert small.to_indices(1, target_count=1).targets.shape == (2, 2, 1)
    assert small.to_indices(2, num_prefix_tokens=1).context.shape == (2, 3)
    with pytest.raises(ConfigError, match=r"count='exact' needs equal counts, but the rows have 1 to 3 tokens"):
        small.to_indices("exact")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(count="mn"), "count must be 'max', 'min', 'exact' or a number of tokens, got 'mn'; did you mean 'min'"),
        (dict(count=7), "count must be between 1 and the 6 tokens"),
        (dict(count=0), "count must be between 1"),
        (dict(target_count=9), "target_count must be between 1"),
        (dict(trim="first"), "trim must be 'random' or 'end', got 'first'"),
        (dict(num_prefix_tokens=-1), "num_prefix_tokens must not be negative, got -1"),
    ],
)
def test_wrong_arguments_are_named(small, arguments, words):
    with pytest.raises(ConfigError, match=words):
        small.to_indices(**arguments)


def test_random_trimming_favours_no_part_of_the_grid():
    """Of a full context of 196 tokens 50 are kept, each as often as the others; cutting at the end keeps the top."""
    n = 20_000
    everything = np.ones((n, 196), bool)
    batch = MaskBatch(
        context=everything,
        targets=everything[:, None],
        grid=(14, 14),
        sample_keys=keys(0, 0, np.arange(n)),
        backend="numpy",
    )
    index = batch.to_indices(50, target_count=50)
    for kept in (index.context, index.targets[:, 0]):
        counts = np.bincount(kept.ravel(), minlength=196)
        share = 50 / 196
        assert abs(counts - n * share).max() < 5 * np.sqrt(n * share * (1 - share))
    assert (index.context != index.targets[:, 0]).any(axis=1).mean() > 0.99
    assert batch.to_indices(50, trim="end").context.max() == 49


def test_trimming_depends_on_the_sample_alone():
    strategy = maskkit.create("multi_block", seed=4)
    whole = strategy.sample(range(30)).numpy().to_indices(15, target_count=10)
    for i in (0, 7, 29):
        alone = strategy.sample(i).numpy().to_indices(15, target_count=10)
        assert alone.context.tolist() == [whole.context[i].tolist()]
        assert alone.targets.tolist() == [whole.targets[i].tolist()]


# -- bits, boxes ------------------------------------------------------------------------------------------------------


def test_bits_are_an_eighth_and_come_back(small):
    packed = small.packed()
    assert packed.context.tolist() == [[0b001101], [0b100000]]
    assert packed.targets.dtype == torch.uint8
    for mine, theirs in zip(packed.unpack(), small.numpy(), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert maskkit.create("multi_block")(8).packed().targets.shape == (8, 4, 25)


def test_boxes_paint_any_number_of_axes():
    assert paint(np.array([[1, 2]]), (5,)).tolist() == [[0, 1, 1, 0, 0]]
    assert paint(np.array([0, 1, 2, 1]), (2, 3)).tolist() == [0, 1, 0, 0, 1, 0]
    volume = paint(np.array([[[1, 0, 1, 1, 2, 2]]]), (2, 2, 3)).reshape(2, 2, 3)
    assert volume.tolist() == [[[0, 0, 0], [0, 0, 0]], [[0, 1, 1], [0, 1, 1]]]


# -- figures ----------------------------------------------------------------------------------------------------------


def test_statistics_by_hand(small):
    expected = {
        "context_coverage_mean": 2 / 6,
        "context_coverage_std": np.sqrt(2) / 6,
        "context_coverage_min": 1 / 6,
        "context_coverage_max": 3 / 6,
        "target_coverage_mean": 7 / 24,
        "target_coverage_std": 1 / 12,
        "target_coverage_min": 1 / 6,
        "target_coverage_max": 2 / 6,
        "union_coverage_mean": 3 / 6,
        "overlap_mean": 0.0,
        "overlap_max": 0.0,
        "target_overlap_mean": 1 / 12,
        "target_overlap_max": 1 / 6,
    }
    assert small.stats() == pytest.approx(expected)


def test_overlap_is_the_share_of_a_target_that_is_context():
    stats = mask_statistics(torch.tensor([[1, 1, 0, 0]]).bool(), torch.tensor([[[1, 0, 1, 0], [0, 0, 0, 0]]]).bool())
    assert (stats["overlap_mean"], stats["overlap_max"]) == (0.5, 0.5)


def test_statistics_of_one_sample_and_of_empty_targets_are_numbers():
    stats = mask_statistics(np.zeros((1, 4), bool), np.zeros((1, 1, 4), bool))
    assert set(stats.values()) == {0.0}
    assert all(type(value) is float for value in stats.values())


# -- pictures ---------------------------------------------------------------------------------------------------------


def test_text(small):
    assert small.text().splitlines() == ["┌──────┐", "│░░11░░│", "│░░2222│", "└──────┘"]
    assert small.text(sample=1).splitlines() == ["┌──────┐", "│11++  │", "│  22░░│", "└──────┘"]
    assert small.text(6).splitlines() == ["┌───┐", "│░1░│", "│░22│", "└───┘"]


def test_text_of_overlapping_context_of_videos_and_of_sequences():
    flat = [[1, 1, 0, 0]], [[[0, 1, 1, 0]]]
    assert batch_of(*flat, (2, 2)).text().splitlines() == ["┌────┐", "│░░!!│", "│11  │", "└────┘"]
    assert batch_of(*flat, (2, 1, 2)).text().splitlines() == [
        "slot 0 slot 1",
        "┌────┐ ┌────┐",
        "│░░!!│ │11  │",
        "└────┘ └────┘",
    ]
    assert batch_of(*flat, (2, 1, 2)).text(7).splitlines() == [
        "slot 0",
        "┌────┐",
        "│░░!!│",
        "└────┘",
        "slot 1",
        "┌────┐",
        "│11  │",
        "└────┘",
    ]
    assert batch_of(*flat, (4,)).text().splitlines() == ["┌────┐", "│░!1 │", "└────┘"]
    assert batch_of(*flat, (4,)).text(5).splitlines() == ["┌───┐", "│░!1│", "│   │", "└───┘"]


def test_text_of_wide_grids_says_its_scale():
    wide = batch_of([[1] * 100], [[[0] * 100]], (1, 100))
    lines = wide.text(52).splitlines()
    assert lines[1] == "│" + "░" * 50 + "│"
    assert lines[-1] == "1 character = 2 x 2 tokens, of which the first is shown"


@pytest.mark.parametrize("grid", [(2, 3), (6,), (3, 1, 2)])
def test_svg_and_figures(grid):
    batch = batch_of([[1, 0, 1, 1, 0, 0]], [[[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1]]], grid)
    root = ElementTree.fromstring(batch.svg())
    assert root.tag.endswith("svg")
    assert batch._repr_svg_() == batch.svg()
    assert len(batch.figure().axes) == 1
    assert batch.plot().images
    groups = MaskGroups({"a": batch, "<b>": batch})
    assert len(groups.figure().axes) == 2
    assert "&lt;b&gt;" in groups.svg()
    assert len(groups.plot()) == 2
    assert groups.text().splitlines()[0] == "a"


def test_pictures_leave_pyplot_alone(small, tmp_path):
    """Nothing to close, and files are written."""
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    small.figure()
    figure = overview(*small, (2, 3), 0, (6, 2), tmp_path / "masks.png")
    assert plt.get_fignums() == before
    assert len(figure.axes) == 3
    assert (tmp_path / "masks.png").stat().st_size > 1000
