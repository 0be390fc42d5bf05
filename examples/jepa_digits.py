"""Train a tiny I-JEPA on real digits: one minute on a CPU.

    pip install -e ".[torch,plot]" -e plugins/jepa/multi_block -e plugins/jepa/random_patch scikit-learn
    python examples/jepa_digits.py            # writes masks.png, curve.png and checkpoint.pt into jepa_digits/
    python examples/jepa_digits.py --resume   # goes on from the checkpoint, as if it had never stopped

An encoder sees half of an image, and a small predictor says what a second encoder, a slow average of the first, makes
of the other half. No label is used. What the features are worth is measured by the labels of the nearest neighbours.

Everything that is drawn, masks and batches alike, is a function of the seed and the step. So a checkpoint needs the
weights and a step number, and no random state.
"""

from __future__ import annotations

import argparse
import copy
import math
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import torch
from matplotlib.figure import Figure
from rich.progress import Progress, TextColumn
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional
import maskkit
from maskkit_jepa import MaskBatch, choose, fork

IMAGE, PATCH = 8, 2  # pixels: a grid of 4 x 4 tokens
SIDE = IMAGE // PATCH
MASKS = {
    # Two blocks of 2 x 2 tokens are predicted from the other eight tokens.
    "blocks": dict(type="multi_block", num_target_masks=2, target_scale=(0.2, 0.3), context_scale=(0.85, 1.0)),
    # The control: as many tokens to see, and as many targets of as many tokens, but anywhere.
    "random": dict(type="random_patch", ratio=0.5),
}
SETTINGS = ("masks", "seed", "steps", "batch_size")  # what a run must keep when it goes on


# -- data -------------------------------------------------------------------------------------------------------------


class Digits(NamedTuple):
    """Images as patches (N, 16, 4) of mean 0 and variance 1, and their labels."""

    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor


def digits() -> Digits:
    """1,797 handwritten digits of 8 x 8 pixels, which scikit-learn ships; a fifth of them for testing."""
    images, labels = load_digits(return_X_y=True)
    patches = images.reshape(-1, SIDE, PATCH, SIDE, PATCH).swapaxes(2, 3).reshape(-1, SIDE**2, PATCH**2)
    patches = torch.tensor((patches - patches.mean()) / patches.std(), dtype=torch.float32)
    labels = torch.tensor(labels)
    train, test = torch.tensor(np.random.default_rng(0).permutation(len(labels))).split([1437, 360])
    return Digits(patches[train], labels[train], patches[test], labels[test])


def batch_of(data: Tensor, step: int, size: int, seed: int) -> Tensor:
    """The batch of a step: every epoch goes through the data in an order of its own."""
    epoch, place = divmod(step, len(data) // size)
    order = np.random.default_rng([seed, epoch]).permutation(len(data))
    return data[order[place * size : (place + 1) * size]]


def masks_at(strategy: Any, step: int, size: int) -> MaskBatch:
    """The masks of a step. `random_patch` gives one target of eight tokens: it is split into two of four, at random."""
    masks = strategy.at(step, size)
    if masks.shape[1] == 2:
        return masks
    whole = masks.arrays[1][:, 0]
    half = choose(fork(masks.sample_keys, 1), 0, SIDE**2 // 4, whole)
    return attrs.evolve(masks, targets=np.stack([half, whole & ~half], axis=1))


# -- model ------------------------------------------------------------------------------------------------------------


def positions(width: int) -> Tensor:
    """Sines and cosines of the row and the column of each token: (16, width)."""
    frequencies = 1 / 100 ** torch.linspace(0, 1, width // 4)
    places = torch.stack(torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij"), dim=-1)
    angles = (places.reshape(-1, 2, 1) * frequencies).flatten(1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def pick(tokens: Tensor, index: Tensor) -> Tensor:
    """The tokens (B, N, C) with these numbers (B, K): (B, K, C)."""
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[-1]))


def blocks(width: int, depth: int) -> nn.Module:
    """Transformer blocks."""
    block = nn.TransformerEncoderLayer(
        width, nhead=4, dim_feedforward=4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    return nn.TransformerEncoder(block, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False)


class Encoder(nn.Module):
    """Patches (B, 16, 4), or those of them with the numbers `index` (B, K), to tokens (B, 16 or K, width)."""

    def __init__(self, width: int = 64, depth: int = 2) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH**2, width)
        self.blocks = blocks(width, depth)
        self.register_buffer("positions", positions(width))

    def forward(self, patches: Tensor, index: Tensor | None = None) -> Tensor:
        tokens = self.embed(patches) + self.positions
        return self.blocks(tokens if index is None else pick(tokens, index))


class Predictor(nn.Module):
    """Context tokens (B, K, width) to what stands at `targets` (B, T, K'): (B, T, K', width).

    Each target is predicted by itself, from the context alone.
    """

    def __init__(self, width: int = 64, inner: int = 32, depth: int = 1) -> None:
        super().__init__()
        self.inwards, self.outwards = nn.Linear(width, inner), nn.Linear(inner, width)
        self.blocks = blocks(inner, depth)
        self.unknown = nn.Parameter(0.02 * torch.randn(inner))
        self.register_buffer("positions", positions(inner))

    def forward(self, tokens: Tensor, context: Tensor, targets: Tensor) -> Tensor:
        many = targets.shape[1]
        seen = self.inwards(tokens) + self.positions[context]
        wanted = self.unknown + self.positions[targets]
        both = torch.cat([seen.repeat_interleave(many, dim=0), wanted.flatten(0, 1)], dim=1)
        return self.outwards(self.blocks(both)[:, seen.shape[1] :]).unflatten(0, (-1, many))


# -- training ---------------------------------------------------------------------------------------------------------


PARTS = ("student", "teacher", "predictor", "optimizer")


class Jepa:
    """The student that learns, the teacher that follows it, the predictor between them; and how far they are.

    The settings, of which `seed` is one, are kept in the checkpoint, and must be the same when it is loaded.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings
        torch.manual_seed(settings["seed"])
        self.student, self.predictor = Encoder(), Predictor()
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.optimizer = torch.optim.AdamW(
            [*self.student.parameters(), *self.predictor.parameters()], weight_decay=0.05
        )
        self.step = 0
        self.history: dict[str, list[float]] = {"loss": [], "step": [], "accuracy": []}

    def loss(self, patches: Tensor, masks: Any) -> Tensor:
        """How far the predictions are from the teacher's tokens."""
        index = masks.to_indices("exact")
        context = self.student(patches, index.context)
        predicted = self.predictor(context, index.context, index.targets)
        with torch.no_grad():
            tokens = self.teacher(patches)
            tokens = functional.layer_norm(tokens, tokens.shape[-1:])
        wanted = pick(tokens, index.targets.flatten(1)).view_as(predicted)
        return functional.smooth_l1_loss(predicted, wanted)

    def train_step(self, patches: Tensor, masks: Any, steps: int, lr: float = 2e-3) -> float:
        """One step of `steps`: the student by gradient, the teacher by averaging."""
        done = self.step / steps
        self.optimizer.param_groups[0]["lr"] = lr * min(1, 20 * done + 1e-3) * (1 + math.cos(math.pi * done)) / 2
        loss = self.loss(patches, masks)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        momentum = 0.99 + 0.01 * done
        with torch.no_grad():
            for slow, fast in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
                slow.lerp_(fast, 1 - momentum)
        self.step += 1
        self.history["loss"].append(loss.item())
        return loss.item()

    def measure(self, data: Digits) -> None:
        """Note what the teacher's features are worth by now."""
        self.history["step"].append(self.step)
        self.history["accuracy"].append(accuracy(self.teacher, data))

    def save(self, path: Path) -> None:
        """Write a checkpoint; one that is there already is replaced only when the new one is whole."""
        parts = {part: getattr(self, part).state_dict() for part in PARTS}
        begun = path.with_suffix(".tmp")
        torch.save(parts | {"step": self.step, "history": self.history, "settings": self.settings}, begun)
        begun.replace(path)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of a run with the same settings."""
        if not path.exists():
            raise SystemExit(f"--resume: there is no {path}; run without --resume first, or name its folder with --out")
        saved = torch.load(path, weights_only=True)
        then = {name: value for name, value in saved["settings"].items() if self.settings[name] != value}
        if then:
            here, there = (
                " ".join(f"--{name.replace('_', '-')} {settings[name]}" for name in then)
                for settings in (self.settings, then)
            )
            raise SystemExit(f"--resume: {path} was written with {there}, got {here}; give the same, or another --out")
        self.step, self.history = saved["step"], saved["history"]
        for part in PARTS:
            getattr(self, part).load_state_dict(saved[part])


@torch.no_grad()
def accuracy(encoder: nn.Module, data: Digits, neighbours: int = 20) -> float:
    """Share of test images that most of their nearest training images name rightly, by cosine of the mean token."""
    train, test = encoder(data.train).mean(dim=1), encoder(data.test).mean(dim=1)
    train, test = functional.normalize(train - train.mean(dim=0)), functional.normalize(test - train.mean(dim=0))
    nearest = (test @ train.T).topk(neighbours).indices
    votes = functional.one_hot(data.train_labels[nearest]).sum(dim=1)
    return (votes.argmax(dim=1) == data.test_labels).double().mean().item()


def train(jepa: Jepa, strategy: Any, data: Digits, args: argparse.Namespace) -> None:
    """From where it is to the last step; every `args.every` steps it is measured and saved."""
    if jepa.step == 0:
        jepa.measure(data)
    with Progress(*Progress.get_default_columns(), TextColumn("loss {task.fields[loss]:.3f}")) as bar:
        task = bar.add_task("training", total=args.steps, completed=jepa.step, loss=math.nan)
        while jepa.step < min(args.steps, args.until or args.steps):
            patches = batch_of(data.train, jepa.step, args.batch_size, args.seed)
            masks = masks_at(strategy, jepa.step, args.batch_size)
            loss = jepa.train_step(patches, masks, args.steps)
            bar.update(task, completed=jepa.step, loss=loss)
            if jepa.step % args.every == 0 or jepa.step == args.steps:
                jepa.measure(data)
                bar.console.print(
                    f"step {jepa.step:5}   loss {loss:.3f}   kNN accuracy {jepa.history['accuracy'][-1]:.3f}"
                )
            if jepa.step % args.every == 0 or jepa.step in (args.steps, args.until):
                jepa.save(args.out / "checkpoint.pt")


# -- pictures ---------------------------------------------------------------------------------------------------------


def draw_masks(path: Path, images: Tensor, masks: Any, many: int = 6) -> None:
    """A few digits, what the student sees of them, and the masks: context blue, the targets numbered."""
    drawn = Figure(figsize=(1.4 * many, 4.4), layout="constrained")
    axes = drawn.subplots(3, many)
    for i, column in enumerate(axes.T):
        seen = torch.where(masks.context[i, :, None], images[i], math.nan)
        for ax, patches in zip(column, (images[i], seen), strict=False):
            image = patches.view(SIDE, SIDE, PATCH, PATCH).swapaxes(1, 2).reshape(IMAGE, IMAGE)
            ax.imshow(image.numpy(), cmap="gray_r")
            ax.set_facecolor("#dddddd")
            ax.set(xticks=[], yticks=[])
        masks.plot(column[2], sample=i).set_title("")
    for ax, label in zip(axes[:, 0], ("image", "seen", "masks"), strict=True):
        ax.set_ylabel(label)
    drawn.savefig(path, dpi=120)


def draw_curve(path: Path, history: dict[str, list[float]]) -> None:
    """The accuracy against the encoder as it was born, and the loss."""
    drawn = Figure(figsize=(8, 3), layout="constrained")
    left, right = drawn.subplots(1, 2)
    left.plot(history["step"], history["accuracy"], marker=".")
    before = history["accuracy"][0]
    left.axhline(before, linestyle="--", color="grey")
    left.text(0.98, before, "before training", transform=left.get_yaxis_transform(), ha="right", va="bottom")
    left.set(xlabel="step", ylabel="kNN accuracy")
    right.plot(range(1, len(history["loss"]) + 1), history["loss"], linewidth=0.7)
    right.set(xlabel="step", ylabel="loss")
    drawn.savefig(path, dpi=120)


# -- the whole --------------------------------------------------------------------------------------------------------


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {value}")
    return value


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("jepa_digits"), help="folder to write into")
    parser.add_argument("--masks", choices=MASKS, default="blocks", help="'random' is the control")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and masks")
    parser.add_argument("--steps", type=positive, default=1000, help="length of the training")
    parser.add_argument("--batch-size", type=positive, default=128)
    parser.add_argument("--every", type=positive, default=100, help="steps between checkpoints")
    parser.add_argument("--until", type=positive, help="stop at this step, to go on later")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the folder")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> Jepa:
    args = arguments(given)
    data = digits()
    if args.batch_size > len(data.train):
        raise SystemExit(f"--batch-size must be at most {len(data.train)}, the training images, got {args.batch_size}")
    strategy = maskkit.create(MASKS[args.masks], input_size=IMAGE, patch_size=PATCH, seed=args.seed)
    jepa = Jepa({name: getattr(args, name) for name in SETTINGS})
    if args.resume:
        jepa.load(args.out / "checkpoint.pt")
    args.out.mkdir(parents=True, exist_ok=True)
    train(jepa, strategy, data, args)
    images = batch_of(data.train, 0, args.batch_size, args.seed)
    draw_masks(args.out / "masks.png", images, masks_at(strategy, 0, args.batch_size))
    draw_curve(args.out / "curve.png", jepa.history)
    return jepa


if __name__ == "__main__":
    torch.set_num_threads(1)  # the matrices are so small that threads wait for each other more than they work
    main()
