"""The conformance kit: what every strategy plugin promises, as checks that its author runs.

    from maskkit_jepa.testing import check_strategy

    def test_contract():
        check_strategy(MultiBlock)

`check_strategy` takes a class through everything below, `check_sampler` takes one sampler. Both raise AssertionError
with the sampler and what is wrong with it.
"""

from __future__ import annotations

import pickle
import random
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import attrs
import numpy as np
from maskkit import Strategy, build
from maskkit.arrays import fetched
from maskkit.errors import ConfigError
from maskkit.testing import check_class, check_light_import, check_parameters, check_round_trip, left_out
from maskkit_jepa.batch.batch import MaskBatch, batches
from maskkit_jepa.grid import paint
from maskkit_jepa.sampler import Sampler

_IDS = np.array([7, 0, 3, 12345678901, 4, 2, 1, 9])


def check_strategy(cls: type[Strategy]) -> list[str]:
    """Hold a strategy class to its contract: its samples, its parameters, its documentation, its import.

    Gives what was not tried, and why: figures need Matplotlib.
    """
    check_class(cls, "strategy")
    assert "seed" in attrs.fields_dict(cls), f"{cls.__name__} needs a field seed"
    for sample in cls.samples:
        config: Any = build(cls, sample)
        check_sampler(_build(config))
        check_round_trip(config)
    check_parameters(cls)
    check_seed(cls)
    check_light_import(cls.__module__)
    return [] if find_spec("matplotlib") else [left_out("figures: Matplotlib is not installed")]


def check_sampler(sampler: Sampler) -> None:
    """Hold one sampler to its contract."""
    assert isinstance(sampler, Sampler), f"{sampler!r} is no maskkit_jepa.Sampler"
    check_generators(sampler)
    drawn = _sample(sampler, _IDS)
    for batch in batches(drawn).values():
        check_form(sampler, batch, len(_IDS))
        check_promises(sampler, batch)
        check_views(sampler, batch)
    check_purity(sampler, drawn)
    check_ranks(sampler)
    check_calls(sampler)
    check_many(sampler)
    check_refusals(sampler)
    check_pictures(sampler)


def _build(config: Strategy) -> Sampler:
    """The sampler; what it warns of is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return config.build()  # type: ignore[no-any-return]


def _sample(sampler: Sampler, ids: Any, epoch: int = 0, rows: Any = None) -> Any:
    """The masks of ids; what else the strategy needs is that of the rows of an example."""
    given = sampler.example(len(_IDS))
    rows = np.arange(len(ids)) % len(_IDS) if rows is None else rows
    return sampler.sample(ids, epoch, step=0, **{name: values[rows] for name, values in given.items()})


def same(one: Any, other: Any, rows: Any = slice(None)) -> bool:
    """Whether two drawings are equal, the second one's against these rows of the first."""
    return all(
        np.array_equal(fetched(a[name])[rows], fetched(b[name]))
        for a, b in zip(batches(one).values(), batches(other).values(), strict=True)
        for name in a.keys()  # noqa: SIM118 - iterating a mask batch gives its arrays
    )


def wilson_hilferty(one: Any, other: Any) -> float:
    """Whether two samples of non-negative integers (N,) and (M,) have one law: z of their chi-square.

    Neighbouring numbers of which fewer than 10 are expected go together. Wilson and Hilferty 1931: beyond about 4.5
    the laws differ.
    """
    size = int(max(np.max(one), np.max(other))) + 1
    a, b = np.bincount(one, minlength=size), np.bincount(other, minlength=size)
    n, m = len(one), len(other)
    groups = np.floor(np.cumsum((a + b) * min(n, m) / (n + m)) / 10).astype(int)
    a, b = (np.bincount(groups, table) for table in (a, b))
    a, b = a[a + b > 0], b[a + b > 0]
    df = len(a) - 1
    if df == 0:
        return 0.0
    chi2 = ((np.sqrt(m / n) * a - np.sqrt(n / m) * b) ** 2 / (a + b)).sum()
    return float((np.cbrt(chi2 / df) - 1 + 2 / (9 * df)) / np.sqrt(2 / (9 * df)))


def check_generators(sampler: Sampler) -> None:
    """Drawing neither uses nor moves a global random generator."""
    import torch

    def state() -> tuple[Any, ...]:
        numpy_state = np.random.get_state(legacy=False)["state"]
        return random.getstate(), str(numpy_state), torch.get_rng_state().tolist()

    before = state()
    first = _sample(sampler, _IDS)
    assert state() == before, f"{sampler!r} moves a global random generator"
    assert same(first, _sample(sampler, _IDS)), f"{sampler!r}: asked again, the same samples get other masks"
    np.random.seed(1)
    random.seed(1)
    torch.manual_seed(1)
    assert same(first, _sample(sampler, _IDS)), f"{sampler!r} depends on a global random generator"


def check_form(sampler: Sampler, batch: MaskBatch, size: int) -> None:
    """Booleans (B, N) and (B, T, N) on the grid; the pair unpacks, and is Torch's unless asked otherwise."""
    import torch

    context, targets = batch
    tokens = int(np.prod(batch.grid))
    assert isinstance(context, torch.Tensor), f"{sampler!r}: the context is no tensor"
    assert context.dtype is targets.dtype is torch.bool, f"{sampler!r}: masks must be boolean"
    assert tuple(context.shape) == (size, tokens), f"{sampler!r}: the context has shape {tuple(context.shape)}"
    assert tuple(targets.shape) == (size, targets.shape[1], tokens), f"{sampler!r}: targets are {tuple(targets.shape)}"
    assert targets.shape[1] >= 1, f"{sampler!r}: there are no targets"
    for array in (*batch.arrays, *batch.extra.values(), *([] if batch.boxes is None else [batch.boxes])):
        assert len(array) == size, f"{sampler!r}: an array has {len(array)} rows for {size} samples"
    if batch.boxes is not None:
        assert np.array_equal(paint(batch.boxes, batch.grid), batch.arrays[1]), (
            f"{sampler!r}: boxes are not the targets"
        )


def check_promises(sampler: Sampler, batch: MaskBatch) -> None:
    """Context and targets are apart, and as large as promised."""
    context, targets = batch.arrays
    if sampler.disjoint:
        assert not (context[:, None] & targets).any(), f"{sampler!r}: context and targets share tokens"
    least = int(context.sum(axis=1).min())
    assert least >= sampler.least_context, (
        f"{sampler!r}: a context has {least} tokens, promised {sampler.least_context}"
    )
    least = int(targets.sum(axis=2).min())
    assert least >= sampler.least_target, f"{sampler!r}: a target has {least} tokens, promised {sampler.least_target}"


def check_views(sampler: Sampler, batch: MaskBatch) -> None:
    """Bits, indices and statistics say what the booleans say."""
    context, targets = batch.arrays
    for mine, theirs in zip((context, targets), batch.packed().unpack(), strict=True):
        assert np.array_equal(mine, theirs), f"{sampler!r}: packed() loses something"
    index = batch.numpy().to_indices(num_prefix_tokens=2)
    back = np.zeros((len(context), context.shape[1] + 2), np.bool_)
    np.put_along_axis(back, index.context, index.context_valid, axis=1)
    rows, columns = np.nonzero(index.context_valid)
    back[:] = False
    back[rows, index.context[rows, columns]] = True
    assert back[:, :2].all(), f"{sampler!r}: indices leave out the prefix"
    assert np.array_equal(back[:, 2:], context), f"{sampler!r}: indices differ from the context"
    tokens = np.broadcast_to(np.arange(back.shape[1]), back.shape)
    kept = np.take_along_axis(index.context, np.minimum(index.restore, index.context.shape[1] - 1), axis=1)
    assert np.array_equal(kept[back], tokens[back]), f"{sampler!r}: restore does not lead back"
    stats = batch.stats()
    assert all(type(value) is float and np.isfinite(value) for value in stats.values()), f"{sampler!r}: stats {stats}"
    assert same(batch, batch.numpy()), f"{sampler!r}: other libraries get other masks"


def check_purity(sampler: Sampler, drawn: Any) -> None:
    """A sample's masks depend on seed, epoch and id alone: not on the batch, the order, the worker or the object."""
    backwards = np.arange(len(_IDS))[::-1]
    assert same(drawn, _sample(sampler, _IDS[::-1], rows=backwards), backwards), f"{sampler!r}: the order matters"
    for workers in (2, 3, len(_IDS)):
        for rows in np.array_split(np.arange(len(_IDS)), workers):
            part = _sample(sampler, _IDS[rows], rows=rows)
            assert same(drawn, part, rows), f"{sampler!r}: masks depend on how ids are split into batches"
    copied = pickle.loads(pickle.dumps(sampler))
    assert same(drawn, _sample(copied, _IDS)), f"{sampler!r}: a pickled sampler draws other masks"
    rebuilt = _build(type(sampler.config)(**_fields(sampler.config)))
    assert same(drawn, _sample(rebuilt, _IDS)), f"{sampler!r}: an equal config draws other masks"
    again = [_sample(sampler, np.arange(64), epoch=epoch) for epoch in (0, 1)]
    assert not same(*again), f"{sampler!r}: epochs draw the same masks"


def check_ranks(sampler: Sampler) -> None:
    """The masks of two ranks together are those of one process; and a step can be gone back to."""
    given = sampler.example(4)
    halves = [{name: values[part] for name, values in given.items()} for part in (slice(0, 2), slice(2, 4))]
    whole = sampler.at(5, 4, **given)
    for rank, part in enumerate((slice(0, 2), slice(2, 4))):
        half = sampler.at(5, 2, rank, 2, **halves[rank])
        assert same(whole, half, part), f"{sampler!r}: rank {rank} of 2 draws other masks than one process"


def check_calls(sampler: Sampler) -> None:
    """Calls count on through the ids; a sampler that loads the state goes on in the same place."""
    fresh = pickle.loads(pickle.dumps(sampler))
    fresh.load_state_dict({"samples": 0, "calls": 0})
    given = [fresh.example(size) for size in (3, 5)]
    first = fresh(3, **given[0])
    state = fresh.state_dict()
    second = fresh(5, device="cpu", **given[1])
    assert same(first, fresh.sample(range(3), step=0, **given[0])), f"{sampler!r}: a call differs from sample()"
    assert same(second, fresh.sample(range(3, 8), step=1, **given[1])), f"{sampler!r}: the second call differs"
    other = _build(fresh.config)
    other.load_state_dict(state)
    assert same(second, other(5, **given[1])), f"{sampler!r} does not resume from its state"


def check_many(sampler: Sampler) -> None:
    """The promises hold over more samples, and samples differ."""
    ids = np.arange(100, 400)
    drawn = _sample(sampler, ids)
    for batch in batches(drawn).values():
        check_promises(sampler, batch)
    assert any(
        len(np.unique(np.concatenate([a.reshape(len(ids), -1) for a in batch.arrays], axis=1), axis=0)) > 1
        for batch in batches(drawn).values()
    ), f"{sampler!r}: all samples have the same masks"


def check_refusals(sampler: Sampler) -> None:
    """What cannot be drawn is refused, and moves nothing on."""
    before = sampler.state_dict()
    given = sampler.example(2)
    refused: dict[str, Callable[[], Any]] = {
        "batch_size 0": lambda: sampler(0),
        "a fractional batch_size": lambda: sampler(1.5),  # type: ignore[arg-type]
        "a device that there is not": lambda: sampler(2, device="no_such_device", **given),
        "a negative id": lambda: sampler.sample([-1]),
        "no ids": lambda: sampler.sample([]),
        "a negative epoch": lambda: sampler.sample([0], epoch=-1),
        "rank 2 of 2": lambda: sampler.at(0, 2, 2, 2),
        "a wrong state": lambda: sampler.load_state_dict({"step": 1}),
    }
    for what, call in refused.items():
        try:
            call()
        except ConfigError:
            continue
        raise AssertionError(f"{sampler!r} takes {what}")
    assert sampler.state_dict() == before, f"{sampler!r}: a refused call moves the cursor"


def check_pictures(sampler: Sampler) -> None:
    """It draws itself in the terminal, as SVG and on axes."""
    shown = sampler.preview(2)
    lines = shown.text(60).splitlines()
    assert lines, f"{sampler!r}: text() is empty"
    assert max(map(len, lines)) <= 60, f"{sampler!r}: text(60) is wider than 60"
    ElementTree.fromstring(shown.svg())
    if find_spec("matplotlib"):
        assert shown.figure().axes, f"{sampler!r}: figure() is empty"


def check_seed(cls: type[Strategy]) -> None:
    """Seeds draw different masks; without one, a seed is drawn and shown."""
    sample = dict(cls.samples[0])
    one, other = (_build(_as_strategy(build(cls, {**sample, "seed": seed}))) for seed in (1, 2**64 - 1))
    assert not same(_sample(one, np.arange(64)), _sample(other, np.arange(64))), f"{cls.__name__}: seeds do not matter"
    unseeded = [build(cls, {name: v for name, v in sample.items() if name != "seed"}) for _ in range(2)]
    seeds = [getattr(config, "seed", None) for config in unseeded]
    assert all(isinstance(seed, int) for seed in seeds), f"{cls.__name__}: without a seed none is drawn"
    assert seeds[0] != seeds[1], f"{cls.__name__}: the seed that is drawn is always the same"


def _as_strategy(config: Any) -> Strategy:
    assert isinstance(config, Strategy)
    return config


def _fields(config: Any) -> dict[str, Any]:
    return {a.alias or a.name: getattr(config, a.name) for a in attrs.fields(type(config)) if a.init}
