"""The kit for strategies catches what it is there to catch, and says so in words that name the fault."""

import itertools

import numpy as np
import pytest
from attrs import field, frozen
import maskkit
from maskkit import positive
from maskkit_jepa import ImageStrategy, MaskBatch, Sampler, choose
from maskkit_jepa.testing import check_strategy, contract

COUNT = itertools.count()


class GoodSampler(Sampler):
    """Some patches are predicted from the others."""

    def prepare(self):
        self.least_target = self.count
        self.least_context = 16 - self.count

    def draw(self, keys, step=None):
        return self.batch(keys, self.masked(keys))

    def masked(self, keys):
        return choose(keys, 0, self.count, 16)

    def batch(self, keys, masked, **changes):
        parts = dict(context=~masked, targets=masked[:, None], grid=self.grid, sample_keys=keys)
        return MaskBatch(**{**parts, **changes})


class Good(ImageStrategy):
    """Some of 16 patches are predicted from the others.

    Attributes:
        count: how many.
    """

    __annotations__ = {"count": int}
    name = "some_patches"
    samples = ({"input_size": 32, "patch_size": 8, "count": 5, "seed": 1},)
    count = field(default=5, validator=positive)


def make(config=None, base=ImageStrategy, **changes):
    """The config class of a strategy whose sampler has these changes, both under names by which pickle finds them."""
    number = next(COUNT)
    sampler = type(f"Sampler{number}", (GoodSampler,), {"__module__": __name__, **changes})
    body = {key: value for key, value in vars(Good).items() if key not in ("__dict__", "__weakref__")}
    body |= {"__qualname__": f"Made{number}", "sampler_class": f"{__name__}:{sampler.__name__}", **(config or {})}
    cls = frozen(kw_only=True)(type(f"Made{number}", (base,), {**body, "__module__": __name__}))
    sampler.config_class = cls
    globals().update({sampler.__name__: sampler, cls.__name__: cls})
    return cls


def drawing(change):
    """A sampler whose booleans (B, 16) of what is predicted are made otherwise."""
    return {"masked": change}


def by_torch(self, keys):
    """Torch's own generator."""
    import torch

    return (torch.rand(len(keys), 16) < 0.5).numpy()


def one_key_for_all(self, keys):
    """Every sample of a batch gets the masks of the first."""
    return choose(np.repeat(keys[:1], len(keys)), 0, self.count, 16)


def by_row(self, keys):
    """Rows depend on their place in the batch."""
    return choose(keys + np.arange(len(keys)).astype(np.uint64), 0, self.count, 16)


def remembers(self, keys):
    """Every draw differs from the one before."""
    return choose(keys + np.uint64(next(COUNT)), 0, self.count, 16)


def without(keep):
    """Context, or targets, of which some are left out."""

    def draw(self, keys, step=None):
        masked = self.masked(keys)
        return self.batch(keys, masked, **keep(masked))

    return {"draw": draw}


class Unseeded(maskkit.Strategy):
    """A strategy without a seed."""

    @property
    def grid(self):
        return (4, 4)


@pytest.fixture(autouse=True)
def imported_already(monkeypatch):
    """This module is no plugin's: what it imports is no matter, and another interpreter takes its time."""
    monkeypatch.setattr(contract, "check_light_import", lambda module: None)


def test_what_is_right_passes():
    check_strategy(make())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # randomness
        (drawing(lambda self, keys: np.random.random((len(keys), 16)) < 0.5), "moves a global random generator"),
        (drawing(by_torch), "moves a global random generator"),
        (drawing(remembers), "asked again, the same samples get other masks"),
        (drawing(by_row), "the order matters"),
        (drawing(one_key_for_all), "the order matters"),
        (drawing(lambda self, keys: choose(keys * np.uint64(0), 0, self.count, 16)), "epochs draw the same masks"),
        # what is drawn
        (without(lambda masked: dict(context=~masked | masked)), "context and targets share tokens"),
        (without(lambda masked: dict(context=masked & ~masked)), "a context has 0 tokens, promised 11"),
        (without(lambda masked: dict(targets=(masked & ~masked)[:, None])), "a target has 0 tokens, promised 5"),
        (drawing(lambda self, keys: choose(keys, 0, self.count - 1, 16)), "a target has 4 tokens, promised 5"),
        (without(lambda masked: dict(targets=masked)), r"targets are \(8, 16\)"),
        (without(lambda masked: dict(context=~masked[:, :8])), r"the context has shape \(8, 8\)"),
        (without(lambda masked: dict(context=(~masked).astype(float))), "masks must be boolean"),
        # the class
        ({"config": {"samples": ()}}, "needs samples"),
        ({"config": {"__doc__": "Some of 16."}}, "Attributes say nothing of 'count'"),
        ({"config": {"count": field(default=5)}}, r"\(count=True\) is accepted; give the field a validator"),
        ({"base": Unseeded}, "needs a field seed"),
    ],
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(AssertionError, match=words):
        check_strategy(make(**changes))


def test_whoever_promises_nothing_is_held_to_one_token():
    """Strategies that may leave no context say `least_context = 0`."""
    changes = without(lambda masked: dict(context=masked & ~masked))
    with pytest.raises(AssertionError, match="a context has 0 tokens, promised 1"):
        check_strategy(make(prepare=lambda self: None, **changes))
