"""Arithmetic from strings of uneven length: read `x=3,y=-7:x*y`, say the first character of `-21`.

The strings are padded to one length, and a mask that the layers pass on keeps the padding out of the attention.

    KERAS_BACKEND=jax python examples/arithmetic.py             # ten epochs of 1,000 steps; or torch, or tensorflow
    KERAS_BACKEND=jax python examples/arithmetic.py --compare   # with and without the mask: docs/pictures/arithmetic.*
"""

import csv
import operator
from itertools import islice
from pathlib import Path
from random import Random

import keras
import numpy as np
import typer
import maskkit
from maskkit_keras import MaskedEmbedding, TokenMasking, pad_sequences

VOCAB = (" ", ":", "|", "x", "y", "=", ",", "+", "-", "*", *"0123456789")
TOKENS = {character: token for token, character in enumerate(VOCAB)}
PAD = TOKENS[" "]
OPERATIONS = {"+": operator.add, "-": operator.sub, "*": operator.mul}

LENGTH = 20  # tokens of a padded question
WIDTH = 15  # channels of a token
BATCH = 2

PICTURES = Path(__file__).parent.parent / "docs" / "pictures"
SEEDS = (0, 1, 2)
POST = (1.7373, 1.4499, 1.3553, 1.2888, 1.2299, 1.1706, 1.1019, 1.0223, 0.9478, 0.8824)
"""What the blog post prints that the task and the model come from (see docs/arithmetic.md)."""


# -- data -------------------------------------------------------------------------------------------------------------


def problems(seed):
    """Strings such as `x=3,y=-7:x*y:-21`, without end: definitions, what to compute, and the result."""
    random = Random(seed)
    while True:
        values = {name: random.randint(-9, 9) for name in "xy"}
        left, right = random.sample("xy", 2)
        sign = random.choice("+-*")
        result = OPERATIONS[sign](values[left], values[right])
        yield f"x={values['x']},y={values['y']}:{left}{sign}{right}:{result}"


def encode(text):
    return [TOKENS[character] for character in text]


def padded(questions):
    """Tokens (questions, 20) of strings such as `x=3,y=-7:x*y`."""
    # The mask comes back too. The model finds it again, in the tokens, for no question holds a space.
    tokens, _ = pad_sequences([encode(question) for question in questions], maxlen=LENGTH, value=PAD)
    return tokens


def batches(seed):
    """Padded questions (2, 20), and of each result the first token (2, 1), without end."""
    stream = problems(seed)
    while True:
        questions, results = zip(*(problem.rsplit(":", 1) for problem in islice(stream, BATCH)), strict=True)
        yield padded(questions), np.array([encode(result[0]) for result in results])


# -- model ------------------------------------------------------------------------------------------------------------


def model_for(masked=True):
    """49,145 weights, with the mask and without."""
    tokens = keras.Input((LENGTH,), dtype="int32")
    y = TokenMasking(PAD)(tokens) if masked else tokens
    y = MaskedEmbedding(len(VOCAB), WIDTH, embeddings_initializer="glorot_uniform")(y)
    y = maskkit.create("reflect")(y)
    # Dense will read every position, so here the mask ends, by an operation, which carries none (the layer Reshape
    # would warn). Padding was embedded as 0: as a query it favours no key, and gets the mean of the real values.
    y = keras.ops.reshape(y, (-1, LENGTH * WIDTH))
    y = keras.layers.Dense(150, activation="relu")(y)
    logits = keras.layers.Dense(len(VOCAB))(y)
    model = keras.Model(tokens, logits)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    return model


def train(seed=0, masked=True, epochs=10, steps=1000, **options):
    """A model and how it was trained; the seed is that of the first weights and of the strings."""
    keras.utils.set_random_seed(seed)
    model = model_for(masked)
    history = model.fit(batches(seed), epochs=epochs, steps_per_epoch=steps, shuffle=False, **options).history
    return model, history


def answers(model, questions):
    """The first character of each result, as the model has it."""
    return [VOCAB[token] for token in model.predict(padded(questions), verbose=0).argmax(-1)]


# -- with and without the mask ----------------------------------------------------------------------------------------


def compare_models(folder=PICTURES, epochs=10, steps=1000):
    """Train both models, three seeds each; write the losses and a figure of them, `arithmetic.csv` and `.svg`."""
    losses = {}
    for masked in (True, False):
        for seed in SEEDS:
            run = f"{'masked' if masked else 'unmasked'} {seed}"
            typer.echo(run)
            _, history = train(seed, masked, epochs, steps, verbose=2)
            losses[run] = [round(loss, 4) for loss in history["loss"]]
    write_table(losses, folder / "arithmetic.csv")
    draw(losses, folder / "arithmetic.svg")


def write_table(losses, path):
    """One row per epoch, one column per run."""
    with path.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["epoch", *losses])
        for epoch, row in enumerate(zip(*losses.values(), strict=True), start=1):
            table.writerow([epoch, *(f"{loss:.4f}" for loss in row)])


def draw(losses, path):
    """The losses of every run by epoch, the mean of each model's runs in bold, and those that the post prints."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, 11), POST, color="#777", linestyle="--", label=f"the blog post, one run: {POST[-1]:.4f}")
    for model, colour in (("unmasked", "#c2571a"), ("masked", "#1b3a6b")):
        runs = np.array([loss for run, loss in losses.items() if run.startswith(model)])
        epochs = range(1, runs.shape[1] + 1)
        axes.plot(epochs, runs.T, color=colour, linewidth=0.8, alpha=0.5)
        mean = runs.mean(axis=0)
        axes.plot(epochs, mean, color=colour, linewidth=2.5, label=f"{model}, mean of {len(runs)}: {mean[-1]:.4f}")
    axes.set(xlabel="epoch of 1,000 steps", ylabel="training loss (nats)", ylim=(0, None), xticks=range(1, 11))
    axes.grid(color="#eee")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, title="loss in the last epoch")
    # The same numbers give the same file, and letters stay letters.
    with mpl.rc_context({"svg.hashsalt": "maskkit", "svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def main(epochs: int = 10, steps: int = 1000, seed: int = 0, mask: bool = True, compare: bool = False):
    """Train the model; or with --compare six of them, and write docs/pictures/arithmetic.csv and .svg."""
    if compare:
        compare_models(epochs=epochs, steps=steps)
    else:
        model, _ = train(seed, mask, epochs, steps)
        for problem in islice(problems(seed + 1), 5):
            question, _ = problem.rsplit(":", 1)
            typer.echo(f"{problem}: the model begins with {answers(model, [question])[0]}")


if __name__ == "__main__":
    typer.run(main)
