"""The example examples/arithmetic.py, shortened, and its page in the docs."""

import csv
import importlib.util
import math
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs/arithmetic.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("arithmetic", ROOT / "examples/arithmetic.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# -- data -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def strings(example):
    return list(islice(example.problems(0), 30_000))


def test_the_vocabulary_is_that_of_the_post(example):
    """Twenty tokens, the space, which pads, is 0, and the separator 1."""
    assert "".join(example.VOCAB) == " :|xy=,+-*0123456789"
    assert (len(example.TOKENS), example.PAD, example.TOKENS[":"]) == (20, 0, 1)


def test_strings_are_right(strings):
    """Python's own `eval` comes to the same result."""
    form = re.compile(r"x=(-?\d),y=(-?\d):([xy][-+*][xy]):(-?\d+)")
    for string in strings[:3000]:
        x, y, operation, result = form.fullmatch(string).groups()
        assert eval(operation, {"x": int(x), "y": int(y)}) == int(result), string


def test_every_question_occurs(strings):
    """19 * 19 pairs, 3 operators, x before y and y before x; about equally often."""
    counts = Counter(string.rpartition(":")[0] for string in strings)
    expected = {f"x={x},y={y}:{o}" for x in range(-9, 10) for y in range(-9, 10) for o in _operations()}
    assert set(counts) == expected
    assert len(counts) == 2166
    assert max(counts.values()) < 5 * len(strings) / 2166


def _operations():
    return [f"{a}{sign}{b}" for a, b in ("xy", "yx") for sign in "+-*"]


def test_a_seed_repeats_the_strings(example):
    first, again, other = (list(islice(example.problems(seed), 5)) for seed in (1, 1, 2))
    assert first == again != other


def test_batches_hold_the_strings(example, strings):
    """Two padded questions, and the first character of each result."""
    for (tokens, targets), a, b in zip(islice(example.batches(0), 100), strings[::2], strings[1::2], strict=False):
        assert (tokens.shape, targets.shape) == ((2, 20), (2, 1))
        for row, target, string in zip(tokens, targets, (a, b), strict=True):
            text = "".join(example.VOCAB[token] for token in row).rstrip(" ")
            assert string.startswith(f"{text}:{example.VOCAB[target[0]]}")
            assert " " not in text


# -- model ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masked", [True, False])
def test_the_model_has_the_weights_of_the_post(example, masked):
    model = example.model_for(masked)
    counts = [count for layer in model.layers if (count := layer.count_params())]
    assert counts == [300, 675, 45_150, 3_020]
    assert model.count_params() == 49_145


def logits_with_another_pad(example, masked):
    """Logits before and after the row of the table that stands for padding becomes another one."""
    model = example.model_for(masked)
    tokens = example.padded(["x=3,y=-7:x*y", "x=-9,y=-9:y-x"])
    before = ops.convert_to_numpy(model(tokens))
    table = model.weights[0]
    table.assign(np.concatenate([np.full((1, 15), 3.0), ops.convert_to_numpy(table)[1:]]))
    return before, ops.convert_to_numpy(model(tokens))


def test_padding_cannot_reach_the_logits(example):
    np.testing.assert_array_equal(*logits_with_another_pad(example, masked=True))


def test_without_the_mask_padding_reaches_the_logits(example):
    before, after = logits_with_another_pad(example, masked=False)
    assert np.abs(after - before).max() > 0.1


def test_padded_positions_hold_the_mean_of_the_real_values(example):
    """What Dense reads there once the mask has ended."""
    model = example.model_for()
    attention = next(layer for layer in model.layers if layer.name.startswith("reflect"))
    inner = keras.Model(model.input, [attention.input[0], attention.output])
    embedded, attended = map(ops.convert_to_numpy, inner(example.padded(["x=3,y=-7:x*y"])))
    values = embedded[0, :12] @ ops.convert_to_numpy(attention.value_kernel)
    assert not embedded[0, 12:].any()
    np.testing.assert_allclose(attended[0, 12:], np.tile(values.mean(0), (8, 1)), atol=1e-6)


def test_the_mask_ends_before_the_loss(example):
    """Keras would weigh the loss with a mask that is still there at the end."""
    assert getattr(example.model_for().output, "_keras_mask", None) is None


# -- training ---------------------------------------------------------------------------------------------------------


def test_a_short_training_learns(example, capsys):
    """From less than chance among twenty tokens to about what the frequencies of the answers give."""
    model, history = example.train(epochs=2, steps=80, verbose=1)
    first, second = history["loss"]
    assert math.log(20) > first > second > 0
    assert "Epoch 2/2" in capsys.readouterr().out  # with progress
    assert example.answers(model, ["x=3,y=-7:x*y", "x=9,y=9:x+y"])[0] in example.VOCAB


def test_the_command_trains_and_asks(example, capsys):
    example.main(epochs=1, steps=2, seed=3)
    asked = re.findall(r"^(x=.*): the model begins with .$", capsys.readouterr().out, re.MULTILINE)
    assert asked == list(islice(example.problems(4), 5))


def test_the_comparison_writes_its_table_and_its_figure(example, tmp_path, monkeypatch, capsys):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(example, "SEEDS", (0,))
    example.compare_models(tmp_path, epochs=2, steps=2)
    header, *rows = csv.reader((tmp_path / "arithmetic.csv").read_text().splitlines())
    assert header == ["epoch", "masked 0", "unmasked 0"]
    assert [row[0] for row in rows] == ["1", "2"]
    assert f"unmasked, mean of 1: {rows[-1][2]}" in (tmp_path / "arithmetic.svg").read_text()


# -- the page ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def losses():
    """The table that the comparison wrote: (epochs, seeds) of the masked model, and of the other."""
    header, *rows = csv.reader((ROOT / "docs/pictures/arithmetic.csv").read_text().splitlines())
    assert header == ["epoch", *(f"{model} {seed}" for model in ("masked", "unmasked") for seed in (0, 1, 2))]
    numbers = np.array(rows, float)
    assert numbers.shape == (10, 7)
    return numbers[:, 1:4], numbers[:, 4:]


def test_the_page_states_the_ends_of_ten_seeds(losses):
    header, *rows = csv.reader((ROOT / "docs/pictures/arithmetic_seeds.csv").read_text().splitlines())
    assert header == ["seed", "masked", "unmasked"]
    seeds, masked, unmasked = np.array(rows, float).T
    np.testing.assert_array_equal(np.stack([masked[:3], unmasked[:3]]), [runs[-1] for runs in losses])
    assert seeds[masked >= unmasked].tolist() == [8]
    words = (
        f"nine end lower with the mask, in the mean at {masked.mean():.2f} against {unmasked.mean():.2f}; "
        f"seed 8 ends at {masked[8]:.2f} with it and {unmasked[8]:.2f} without"
    )
    assert words in PAGE


def test_the_page_states_the_losses_of_the_table(example, losses):
    masked, unmasked = losses
    stated = [line.strip("| ").split(" | ") for line in re.findall(r"^\| \d+ \|.*$", PAGE, re.MULTILINE)]
    expected = [
        [str(i + 1), *(_mean_and_range(runs[i]) for runs in losses), f"{example.POST[i]:.4f}"] for i in range(10)
    ]
    assert stated == expected
    assert (masked[-1] < unmasked[-1]).all(), "the page says that every seed ends lower with the mask"


def _mean_and_range(runs):
    return f"{runs.mean():.4f} ({runs.min():.2f} to {runs.max():.2f})"


def test_the_figure_shows_the_losses_of_the_table(losses):
    figure = (ROOT / "docs/pictures/arithmetic.svg").read_text()
    for model, runs in zip(("masked", "unmasked"), losses, strict=True):
        assert f">{model}, mean of 3: {runs[-1].mean():.4f}<" in figure


def test_the_page_states_the_entropy_of_the_answers():
    """What the best guess without a look at the question costs."""
    results = (eval(o, {"x": x, "y": y}) for x in range(-9, 10) for y in range(-9, 10) for o in _operations())
    shares = np.array(list(Counter(str(result)[0] for result in results).values())) / 2166
    assert f"{-(shares * np.log(shares)).sum():.2f} nats" in PAGE


def test_the_pipeline_of_tensorflow_feeds_the_model():
    """The page's snippet with tf.data, after those before it; TensorFlow is needed on every backend."""
    pytest.importorskip("tensorflow")
    namespace = {"__name__": "snippet"}
    for code in re.findall(r"^```python(?: tensorflow)?\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        exec(compile(code, "docs/arithmetic.md", "exec"), namespace)
    tokens, targets = next(iter(namespace["dataset"]))
    assert (tuple(tokens.shape), tuple(targets.shape)) == ((2, 20), (2,))
    assert not tokens.numpy()[:, 13:].any()
