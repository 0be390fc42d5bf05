"""examples/jepa_digits.py, cut short: it learns, it can be interrupted, and it shows what it did."""

import importlib.util
import sys
from pathlib import Path

import matplotlib.image
import pytest
import torch
import maskkit

PATH = Path(__file__).parents[4] / "examples" / "jepa_digits.py"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("jepa_digits", PATH)
    module = sys.modules["jepa_digits"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def unbroken(example, tmp_path_factory):
    """Twelve steps in one go, and the folder with what they wrote."""
    folder = tmp_path_factory.mktemp("unbroken")
    return example.main(["--out", str(folder), "--steps", "12", "--every", "4"]), folder


def weights(jepa):
    return torch.cat([p.flatten() for part in (jepa.student, jepa.teacher, jepa.predictor) for p in part.parameters()])


def test_a_resumed_run_ends_as_an_unbroken_one(example, unbroken, tmp_path):
    """The same weights to the last bit, and the same history."""
    run = ["--out", str(tmp_path), "--steps", "12", "--every", "4"]
    assert example.main([*run, "--until", "5"]).step == 5
    resumed = example.main([*run, "--resume"])
    assert torch.equal(weights(resumed), weights(unbroken[0]))
    assert resumed.history == unbroken[0].history


@pytest.mark.parametrize("other", ["--seed 1", "--masks random", "--steps 13", "--batch-size 64"])
def test_a_run_with_other_settings_is_not_resumed(example, unbroken, other):
    """The message says what the checkpoint was written with, and what was asked for."""
    folder = unbroken[1]
    before = (folder / "checkpoint.pt").read_bytes()
    written = {"--seed": "0", "--masks": "blocks", "--steps": "12", "--batch-size": "128"}
    name = other.split()[0]
    words = rf"checkpoint.pt was written with {name} {written[name]}, got {other}; give the same, or another --out"
    with pytest.raises(SystemExit, match=words):
        example.main(["--out", str(folder), "--steps", "12", *other.split(), "--resume"])
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_a_missing_checkpoint_is_named(example, tmp_path):
    with pytest.raises(SystemExit, match=r"there is no .*checkpoint.pt; run without --resume first"):
        example.main(["--out", str(tmp_path / "none"), "--resume"])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--batch-size", "2000"], "--batch-size must be at most 1437, the training images, got 2000"),
        (["--steps", "0"], "argument --steps: must be 1 or more, got 0"),
        (["--every", "-3"], "argument --every: must be 1 or more, got -3"),
    ],
)
def test_settings_that_cannot_run_are_refused(example, tmp_path, capsys, given, words):
    with pytest.raises(SystemExit) as refused:
        example.main([*given, "--out", str(tmp_path / "none")])
    assert words in f"{refused.value.code}{capsys.readouterr().err}"


def test_the_control_sees_and_predicts_as_much(example):
    """Eight tokens are seen, and two targets of four are predicted, with either masks; only blocks are blocks."""
    boxed = {}
    for name, config in example.MASKS.items():
        strategy = maskkit.create(config, input_size=example.IMAGE, patch_size=example.PATCH, seed=0)
        context, targets = example.masks_at(strategy, 3, 64).numpy()
        assert (context.sum(axis=1) == 8).all()
        assert (targets.sum(axis=2) == 4).all()
        assert (context.astype(int) + targets.sum(axis=1) == 1).all()
        rows = targets.reshape(-1, 4, 4)
        boxed[name] = ((rows.any(axis=1).sum(axis=1) == 2) & (rows.any(axis=2).sum(axis=1) == 2)).mean()
    assert boxed["blocks"] == 1
    assert boxed["random"] < 0.1


def test_another_seed_is_another_run(example, unbroken, tmp_path):
    other = example.main(["--out", str(tmp_path), "--steps", "2", "--every", "4", "--seed", "1"])
    assert other.history["loss"][0] != unbroken[0].history["loss"][0]


def test_the_loss_falls_and_the_features_do_not_collapse(example, unbroken):
    jepa, _ = unbroken
    losses = jepa.history["loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert jepa.teacher(example.digits().test).mean(dim=1).std(dim=0).mean() > 0.02
    assert jepa.history["step"] == [0, 4, 8, 12]
    assert all(0.1 < accuracy < 1 for accuracy in jepa.history["accuracy"])


@pytest.mark.parametrize("name", ["masks", "curve"])
def test_pictures_are_saved(unbroken, name):
    picture = matplotlib.image.imread(unbroken[1] / f"{name}.png")
    assert min(picture.shape[:2]) > 300
    assert picture[..., :3].std() > 0.05


def test_no_test_image_is_trained_on(example):
    """The split keeps every image once; batches come from the training part alone."""
    data = example.digits()
    assert [len(part) for part in data] == [1437, 1437, 360, 360]
    epoch = torch.cat([example.batch_of(data.train, step, 128, seed=0) for step in range(11)])
    assert len(epoch.unique(dim=0)) == len(epoch) == 1408


def test_the_student_sees_the_context_alone(example):
    torch.manual_seed(0)
    patches, index = torch.randn(3, 16, 4), torch.tensor([[0, 3, 7], [1, 2, 15], [4, 5, 6]])
    encoder = example.Encoder()
    changed = torch.randn_like(patches).scatter(1, index[..., None].expand(-1, -1, 4), example.pick(patches, index))
    torch.testing.assert_close(encoder(patches, index), encoder(changed, index))


def test_accuracy_of_features_that_give_the_label_away(example):
    """One-hot features are named rightly, whatever else is in them; a shuffled training set is not."""
    labels = torch.arange(10).repeat(30)
    features = torch.nn.functional.one_hot(labels, 10)[:, None].float()
    data = example.Digits(features, labels, features[:50], labels[:50])
    assert example.accuracy(torch.nn.Identity(), data) == 1
    assert example.accuracy(torch.nn.Identity(), data._replace(train_labels=labels.roll(1))) == 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_training_raises_the_accuracy(example, tmp_path, seed):
    """By at least 0.08 over the encoder before training; docs/jepa-models.md has the figures."""
    jepa = example.main(["--out", str(tmp_path), "--every", "500", "--seed", str(seed)])
    first, *_, last = jepa.history["accuracy"]
    assert last >= first + 0.08
