"""Every strategy that is installed keeps the contract; a new plugin is held to all of this without a line here."""

import random
import sys
import warnings

import numpy as np
import pytest
import torch
import yaml
import maskkit
from maskkit.registry.loader import registry
from maskkit_jepa import Sampler
from maskkit_jepa.testing import batches, check_promises, check_strategy, same

NAMES = maskkit.names("strategy")


def samplers(name):
    """A sampler for each sample of a plugin."""
    for params in registry.find(f"strategy.{name}").samples:
        yield created({"type": name, **params})


def created(mapping):
    """What `maskkit.create` makes of a mapping; what it warns of is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return maskkit.create(mapping, kind="strategy")


def sampled(sampler, ids, epoch=0):
    """The masks of ids, with what a sampler takes besides by id, so that it does not depend on the batch."""
    given = {key: values[np.asarray(ids) % 16] for key, values in sampler.example(16).items()}
    return sampler.sample(ids, epoch, step=0, **given)


@pytest.mark.parametrize("name", NAMES)
def test_contract(name):
    check_strategy(registry.find(f"strategy.{name}"))


def test_without_matplotlib_figures_are_left_out_and_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert check_strategy(maskkit.find("random_patch", "strategy")) == ["figures: Matplotlib is not installed"]


@pytest.mark.parametrize("name", NAMES)
def test_masks_depend_on_seed_epoch_and_id_alone(name):
    """Of 600 samples, any batches, in any order, by any of three workers, from any other object, are the same."""
    rng = np.random.default_rng(0)
    for sampler in samplers(name):
        whole = sampled(sampler, np.arange(600), epoch=2)
        order = rng.permutation(600)
        for worker in range(3):
            mine = created(maskkit.to_dict(sampler.config))
            for rows in np.array_split(order[worker::3], 5):
                assert same(whole, sampled(mine, rows, epoch=2), rows), sampler


@pytest.mark.parametrize("name", NAMES)
def test_no_global_generator_is_touched_by_making_drawing_and_looking(name):
    def state():
        return random.getstate(), str(np.random.get_state()), torch.get_rng_state().tolist()

    before = state()
    for sampler in samplers(name):
        drawn = sampler.preview(3)
        sampler(2, **sampler.example(2))
        for batch in batches(drawn).values():
            batch.to_indices("min")
        drawn.stats()
        drawn.text()
    assert state() == before


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_state_goes_on_after_any_number_of_calls(name):
    """Over what calls draw ahead too: sizes that are no divisors of it."""
    for sampler in samplers(name):
        fresh = created(maskkit.to_dict(sampler.config))
        given = fresh.example(300)
        for _ in range(3):
            fresh(300, **given)
        other = created(maskkit.to_dict(sampler.config))
        other.load_state_dict(fresh.state_dict())
        assert fresh.state_dict() == {"samples": 900, "calls": 3}
        for _ in range(2):
            assert same(fresh(300, **given), other(300, **given)), sampler


@pytest.mark.parametrize("name", NAMES)
def test_ranks_and_steps_number_the_samples(name):
    """Three ranks at step 4 draw samples 4 * 3 * 8 and on, each its own eight."""
    for sampler in samplers(name):
        given = sampler.example(8)
        for rank in range(3):
            first = (4 * 3 + rank) * 8
            assert same(sampler.at(4, 8, rank, 3, **given), sampler.sample(range(first, first + 8), step=4, **given)), (
                sampler
            )


@pytest.mark.parametrize("name", NAMES)
def test_a_yaml_file_loads_as_the_same_strategy(name, tmp_path):
    path = tmp_path / "config.yaml"
    for sampler in samplers(name):
        path.write_text(yaml.safe_dump({"masking": maskkit.to_dict(sampler.config)}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            loaded = maskkit.load(path, key="masking")
        assert loaded.config == sampler.config
        assert same(sampler.preview(4), loaded.preview(4))


@pytest.mark.parametrize("name", NAMES)
def test_indices_are_tokens_of_the_masks(name):
    """With a count they are trimmed to it, at random or at the end; what is short is padded and not valid."""
    for sampler in samplers(name):
        for batch in batches(sampler.preview(6)).values():
            context, targets = batch.arrays
            counts = context.sum(axis=1)
            for count in {1, max(1, int(counts.mean())), context.shape[1]}:
                for trim in ("random", "end"):
                    index = batch.numpy().to_indices(count, trim=trim, num_prefix_tokens=1)
                    assert index.context.shape == (6, 1 + count)
                    assert index.context_valid.sum(axis=1).tolist() == (1 + np.minimum(counts, count)).tolist()
                    row, column = np.nonzero(index.context_valid[:, 1:])
                    tokens = index.context[:, 1:][row, column] - 1
                    assert context[row, tokens].all()
                    assert len(set(zip(row, tokens, strict=True))) == len(row)
                    row, slot, column = np.nonzero(index.targets_valid)
                    assert targets[row, slot, index.targets[row, slot, column] - 1].all()


@pytest.mark.parametrize("name", NAMES)
def test_every_view_is_drawn_and_counted(name):
    """Figures have axes, statistics are floats between 0 and 1."""
    for sampler in samplers(name):
        for batch in batches(sampler.preview(2)).values():
            assert batch.plot().images
            assert all(0 <= value <= 1 for value in batch.stats().values()), sampler


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_guarantees_hold_over_a_hundred_thousand_samples(name):
    """Sizes of context and targets at least, and their being apart, where promised; for every sample of a plugin."""
    for sampler in samplers(name):
        for start in range(0, 100_000, 4000):
            for batch in batches(sampled(sampler, np.arange(start, start + 4000))).values():
                check_promises(sampler, batch)


def test_there_are_strategies():
    assert {"hierarchical", "multi_block"} <= set(maskkit.names("strategy"))


@pytest.mark.parametrize("name", NAMES)
def test_the_summary_in_the_metadata_is_the_modules_first_line(name):
    """`maskkit list` shows the distribution's summary; it should not differ from the documentation."""
    entry = registry.entry(f"strategy.{name}")
    module = __import__(registry.find(f"strategy.{name}").__module__)
    assert entry.summary == module.__doc__.partition("\n")[0].rstrip(".")


def test_a_strategy_without_a_sampler_class_says_what_it_needs():
    from attrs import frozen
    from maskkit import Strategy

    @frozen(kw_only=True)
    class Bare(Strategy):
        """Nothing."""

        name = "bare"

    with pytest.raises(NotImplementedError, match="Bare needs sampler_class, such as"):
        Bare().build()
    with pytest.raises(NotImplementedError, match="Bare must define grid"):
        _ = Bare().grid
    with pytest.raises(NotImplementedError, match="must define draw"):
        Sampler(Bare()).draw(None, None)


def test_what_calls_give_out_belongs_to_the_caller():
    """Calls share one large draw; writing into a batch changes no other, nor what is drawn after going back."""
    strategy = maskkit.create("vjepa", seed=0)
    start = strategy.state_dict()
    first, second = (strategy(3)["short"].context for _ in range(2))
    kept = second.clone()
    first.fill_(True)
    assert torch.equal(second, kept)
    strategy.load_state_dict(start)
    again = strategy(3)["short"].context
    assert torch.equal(again, strategy.sample(range(3))["short"].context)
    assert not again.all()


@pytest.mark.parametrize("sizes", [(5, 700, 300, 2000, 7, 1100), (513, 512, 511)])
def test_calls_of_any_sizes_go_on_where_the_last_one_ended(sizes):
    strategy, start = maskkit.create("ijepa", seed=0), 0
    for size in sizes:
        assert torch.equal(strategy(size).targets, strategy.sample(range(start, start + size)).targets)
        start += size


@pytest.mark.parametrize("ids", [3, np.int64(3), np.array([3]), torch.tensor(3), torch.tensor([3]), [3], range(3, 4)])
def test_one_sample_is_named_by_an_integer_or_a_batch_of_one(ids):
    sampler = maskkit.create("random_patch", input_size=64, seed=1)
    assert same(sampler.sample(ids), sampler.sample([3, 4]).rows(0, 1))
