"""Draw the pictures of docs/keras-masks.md, from what the layers compute. Run as `python docs/keras_pictures.py`."""

import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from maskkit_keras import TokenMasking, pad_sequences

PICTURES = Path(__file__).parent / "pictures"
PADDED, MASK = pad_sequences([[1, 2, 3], [4, 5], [1, 4, 8, 9]])
DARK, PALE = "#2b5c8a", "#e9eef3"


def cells(axes, values, allowed, title):
    """A table of numbers; dark is allowed."""
    axes.imshow(allowed, cmap=matplotlib.colors.ListedColormap([PALE, DARK]), vmin=0, vmax=1)
    for (row, column), value in np.ndenumerate(values):
        axes.text(column, row, value, ha="center", va="center", color="white" if allowed[row, column] else "#444444")
    axes.set_title(title, fontsize=10)
    axes.set_xticks(np.arange(values.shape[1]), [])
    axes.set_yticks(range(len(values)), [f"sample {i}" for i in range(len(values))])
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, values.shape[1]), minor=True)
    axes.set_yticks(np.arange(-0.5, len(values)), minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)


def flags():
    """One flag per sample, or one per token."""
    reduced = keras.ops.convert_to_numpy(keras.layers.Masking(0).compute_mask(PADDED.astype("float32")))
    per_token = keras.ops.convert_to_numpy(TokenMasking(0).compute_mask(PADDED))
    assert (per_token == MASK.allowed()).all()
    figure, axes = plt.subplots(1, 2, figsize=(7.5, 2.2), layout="constrained")
    everywhere = np.broadcast_to(reduced[:, None], PADDED.shape)
    cells(axes[0], PADDED, everywhere, f"keras.layers.Masking: {reduced.shape}, one flag per sample")
    cells(axes[1], PADDED, per_token, f"TokenMasking: {per_token.shape}, one flag per token")
    return figure


def axes_of_attention():
    """The weights of 4 tokens, of which the last is padding: no mask, blocked queries, blocked keys."""
    scores = np.random.default_rng(3).normal(size=(4, 4)).astype("float32")
    scores[3] = 0  # the padding was embedded as 0
    minus = np.array([0, 0, 0, -1e9], "float32")
    cases = {
        "no mask": scores,
        "-1e9 along queries": scores + minus[:, None],
        "blocked keys": scores + minus[None, :],
    }
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.4), layout="constrained")
    names = ["1", "2", "3", "pad"]
    for part, (title, biased) in zip(axes, cases.items(), strict=True):
        weights = keras.ops.convert_to_numpy(keras.ops.softmax(keras.ops.convert_to_tensor(biased)))
        part.imshow(weights, cmap="Blues", vmin=0, vmax=1)
        for (row, column), weight in np.ndenumerate(weights):
            part.text(column, row, f"{weight:.2f}", ha="center", va="center", color="white" if weight > 0.6 else "k")
        part.set_title(title, fontsize=10)
        part.set_xticks(range(4), names)
        part.set_yticks(range(4), names)
        part.set_xlabel("key")
        part.set_ylabel("query")
        part.tick_params(length=0)
    return figure


if __name__ == "__main__":
    plt.rcParams["svg.hashsalt"] = "maskkit"
    for name, draw in (("keras_flags", flags), ("keras_axes", axes_of_attention)):
        draw().savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
