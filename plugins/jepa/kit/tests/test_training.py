"""Masks where a training makes its batches: Torch's DataLoader, the loop itself, Keras."""

import multiprocessing
import pickle
from itertools import chain

import keras
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset
import maskkit
from maskkit import ConfigError
from maskkit_jepa import FollowEpoch, MaskBatch, MaskCollator, MaskedPyDataset, Numbered, index_lists
from maskkit_jepa.testing import same

SIZE = 48


@pytest.fixture(scope="module")
def strategy():
    return maskkit.create("multi_block", input_size=96, seed=5)


@pytest.fixture(scope="module")
def dataset():
    """Sample i is the number i, so that a batch says which samples it has."""
    return Numbered(TensorDataset(torch.arange(SIZE)))


def loader(dataset, collate, workers=0, **options):
    """Workers start from a clean process: this one has many threads. Each epoch has its own order."""
    options = {"batch_size": 8, "shuffle": True, "generator": torch.Generator().manual_seed(3)} | options
    if workers:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch", "maskkit_jepa.sampler", "maskkit_jepa_multi_block._sampler"])
        options |= {"num_workers": workers, "multiprocessing_context": context}
    return DataLoader(dataset, collate_fn=collate, **options)


def flat(batches):
    """Sample numbers, contexts and targets of many batches, as arrays."""
    numbers, contexts, targets = zip(*((x, *masks.arrays) for (x,), masks in batches), strict=True)
    return np.concatenate(numbers), np.concatenate(contexts), np.concatenate(targets)


def assert_masks_of(strategy, batches, epoch):
    """Every sample once, each with its own masks of this epoch."""
    numbers, context, targets = flat(batches)
    assert sorted(numbers) == list(range(SIZE))
    drawn = strategy.sample(numbers, epoch)
    np.testing.assert_array_equal(context, drawn.arrays[0])
    np.testing.assert_array_equal(targets, drawn.arrays[1])


# -- Torch's DataLoader -----------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")  # on a machine of 2 cores
def test_masks_are_the_same_under_0_2_and_4_workers(strategy, dataset):
    epochs = []
    for workers in (0, 2, 4):
        collate = MaskCollator(strategy)
        made = loader(dataset, collate, workers)
        for epoch in range(2):
            collate.set_epoch(epoch)
            epochs.append(list(made))
            assert_masks_of(strategy, epochs[-1], epoch)
    for epoch, batches in enumerate(epochs):
        for mine, first in zip(flat(batches), flat(epochs[epoch % 2]), strict=True):
            np.testing.assert_array_equal(mine, first)


def test_workers_that_live_on_see_the_next_epoch(strategy, dataset):
    collate = MaskCollator(strategy, epoch=3)
    made = loader(dataset, collate, workers=2, persistent_workers=True)
    assert_masks_of(strategy, list(made), 3)
    collate.set_epoch(7)
    assert_masks_of(strategy, list(made), 7)


def test_an_epoch_resumed_in_the_middle_has_the_masks_it_would_have_had(strategy, dataset):
    """The sampler skips what was done; the masks need no state but the epoch."""
    whole = list(loader(dataset, MaskCollator(strategy, epoch=2)))
    order = [int(i) for (x,), _ in whole for i in x]
    rest = list(loader(dataset, MaskCollator(strategy, epoch=2), shuffle=False, sampler=order[24:]))
    for mine, theirs in zip(flat(rest), flat(whole[3:]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_datasets_that_fetch_batches_still_do(strategy):
    class Fetching(Dataset):
        def __len__(self):
            return 6

        def __getitems__(self, numbers):
            return [torch.tensor(10 * i) for i in numbers]

    [(batch, masks)] = loader(Numbered(Fetching()), MaskCollator(strategy), shuffle=False)
    assert batch.tolist() == [0, 10, 20, 30, 40, 50]
    assert same(masks, strategy.sample(range(6)))


def test_labels_and_other_collate_functions_pass_through(strategy):
    labelled = Numbered(TensorDataset(torch.ones(4, 3), torch.arange(4)))
    [((x, y), _)] = loader(labelled, MaskCollator(strategy), shuffle=False)
    assert (x.shape, y.tolist()) == ((4, 3), [0, 1, 2, 3])
    [(many, _)] = loader(labelled, MaskCollator(strategy, collate=len), shuffle=False)
    assert many == 4


def test_groups_of_masks_come_as_they_are(dataset):
    strategy = maskkit.create(
        "hierarchical", input_size=96, base_scale=(0.1, 0.2), num_target_masks=2, overlap="allow", seed=1
    )
    batch, masks = next(iter(loader(dataset, MaskCollator(strategy))))
    assert list(masks) == ["level_0", "level_1", "level_2"]
    assert same(masks, strategy.sample(batch[0]))


def test_a_collator_that_is_pickled_keeps_its_epoch(strategy):
    assert pickle.loads(pickle.dumps(MaskCollator(strategy, epoch=4))).epoch == 4


def test_i_jepas_style_has_lists_of_token_numbers(strategy, dataset):
    """As its loop unpacks them: (batch, masks_enc, masks_pred), equal counts, every number in the mask."""
    (numbers,), encoded, predicted = next(iter(loader(dataset, MaskCollator(strategy, style="ijepa"))))
    assert [len(encoded), len(predicted)] == [1, 4]
    drawn = strategy.sample(numbers)
    fewest = int(drawn.context.sum(dim=1).min())
    assert (encoded[0].shape, encoded[0].dtype) == ((8, fewest), torch.int64)
    assert drawn.context.gather(1, encoded[0]).all()
    for t, index in enumerate(predicted):
        assert index.shape == (8, int(drawn.targets.sum(dim=2).min()))
        assert drawn.targets[:, t].gather(1, index).all()


def test_i_jepas_style_takes_counts(strategy, dataset):
    collate = MaskCollator(strategy, style="ijepa", lists=dict(count=4, target_count=3))
    _, encoded, predicted = next(iter(loader(dataset, collate)))
    assert [part.shape for part in (*encoded, *predicted)] == [(8, 4)] + 4 * [(8, 3)]


def test_v_jepas_groups_are_one_tensor_each(dataset):
    """Short and long range, as V-JEPA's loop pairs them; the targets of a range are predicted together."""
    strategy = maskkit.create("vjepa", input_size=64, patch_size=16, num_frames=8, seed=1)
    (numbers,), encoded, predicted = next(iter(loader(dataset, MaskCollator(strategy, style="ijepa"))))
    drawn = strategy.sample(numbers)
    assert len(encoded) == len(predicted) == len(drawn) == 2
    for context, target, masks in zip(encoded, predicted, drawn.values(), strict=True):
        assert masks.context.gather(1, context).all()
        assert masks.union.gather(1, target).all()


def test_lists_cannot_hold_padding(strategy):
    masks = strategy.sample(range(8))
    fewest = int(masks.context.sum(dim=1).min())
    with pytest.raises(ConfigError, match=rf"count=30 would need padding, .* the fewest tokens are {fewest};"):
        index_lists(masks, 30)
    with pytest.raises(ConfigError, match="target_count=9 would need padding"):
        index_lists(masks, 4, 9)


def test_lists_are_where_the_masks_are(strategy):
    """Padding is looked for on the host: no device is asked, and none is in the way."""
    there = index_lists(strategy.sample(range(8)).to("meta"))
    here = index_lists(strategy.sample(range(8)))
    for mine, theirs in zip(there, here, strict=True):
        assert [part.device.type for part in mine] == ["meta"] * len(theirs)
        assert [part.shape for part in mine] == [part.shape for part in theirs]


def test_samples_without_numbers_are_refused(strategy):
    for samples in ([torch.ones(3)], [(torch.ones(3), 1)], [(0.5, torch.ones(3))]):
        with pytest.raises(ConfigError, match=r"samples must come as \(number, sample\).*Numbered\(dataset\)"):
            MaskCollator(strategy)(samples)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(style="ijpea"), "style must be one of 'masks', 'ijepa', got 'ijpea'"),
        (dict(lists=dict(count=4)), "lists is for style='ijepa', got it with style='masks'"),
        (dict(epoch=-1), "epoch must be an integer, 0 or more, got -1"),
        (dict(epoch=0.5), "epoch must be an integer, 0 or more, got 0.5"),
    ],
)
def test_wrong_options_are_named(strategy, options, words):
    with pytest.raises(ConfigError, match=words):
        MaskCollator(strategy, **options)


# -- in the loop ------------------------------------------------------------------------------------------------------


def test_a_loop_resumes_by_its_step_or_by_its_state(strategy):
    """Seven steps; three, then a new process that knows the step, or the state, and four more."""
    whole = [strategy.at(step, 8) for step in range(7)]
    for step in range(3, 7):
        assert same(whole[step], strategy.config.build().at(step, 8))
    called = strategy.config.build()
    for step in range(3):
        assert same(whole[step], called(8))
    resumed = strategy.config.build()
    resumed.load_state_dict(pickle.loads(pickle.dumps(called.state_dict())))
    for step in range(3, 7):
        assert same(whole[step], resumed(8))


# -- Keras ------------------------------------------------------------------------------------------------------------


class Recorder(keras.Model):
    """Trains nothing; keeps what reaches it."""

    def call(self, inputs):
        return inputs["x"]

    def train_step(self, data):
        self.seen.append({name: keras.ops.convert_to_numpy(part) for name, part in data[0].items()})
        return {"loss": 0.0}


def seen_by_fit(data, built, **options):
    """The batches of each epoch, as they reach a model in `fit`."""
    model = Recorder()
    model.seen, model.built = [], built
    model.compile()
    model.fit(data, verbose=0, callbacks=[FollowEpoch(data)], **options)
    return [model.seen[i : i + len(data)] for i in range(0, len(model.seen), len(data))]


def test_a_batch_has_samples_masks_and_labels(strategy):
    x = np.arange(20.0)[:, None]
    data = MaskedPyDataset(strategy, x, y=np.arange(20), batch_size=8)
    assert len(data) == 3
    assert [len(data.ids(i)) for i in range(3)] == [8, 8, 4]
    assert sorted(np.concatenate([data.ids(i) for i in range(3)])) == list(range(20))
    inputs, labels = data[1]
    assert inputs["x"][:, 0].tolist() == labels.tolist() == data.ids(1).tolist()
    assert isinstance(inputs["context"], np.ndarray)
    assert same({"": strategy.sample(labels)}, {"": Plain(inputs)})


class Plain(dict):
    """Arrays by name, in the place of a mask batch."""

    def __init__(self, inputs):
        super().__init__({name: inputs[name] for name in ("context", "targets")})


@pytest.mark.parametrize(("workers", "built"), [(0, False), (3, True)])
def test_fit_gets_every_sample_with_its_masks_in_every_epoch(strategy, workers, built):
    """Without threads, though Keras looks at a batch first to build the model; and with three."""
    data = MaskedPyDataset(strategy, np.arange(20), batch_size=8, workers=workers)
    for epoch, batches in enumerate(seen_by_fit(data, built, epochs=5, initial_epoch=3), start=3):
        numbers = np.concatenate([batch["x"] for batch in batches])
        assert sorted(numbers) == list(range(20))
        drawn = strategy.sample(numbers, epoch)
        np.testing.assert_array_equal(np.concatenate([batch["context"] for batch in batches]), drawn.arrays[0])
        np.testing.assert_array_equal(np.concatenate([batch["targets"] for batch in batches]), drawn.arrays[1])
    assert epoch == 4


def test_a_fit_that_is_resumed_has_the_masks_it_would_have_had(strategy):
    def epochs(**options):
        return seen_by_fit(MaskedPyDataset(strategy, np.arange(20), batch_size=8), shuffle=False, **options)

    whole = epochs(built=False, epochs=4)
    rest = epochs(built=True, epochs=4, initial_epoch=2)
    assert [len(whole), len(rest)] == [4, 2]
    for mine, theirs in zip(chain(*rest), chain(*whole[2:]), strict=True):
        for name in ("x", "context", "targets"):
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_batches_do_not_depend_on_the_process_that_makes_them(strategy):
    data = MaskedPyDataset(strategy, np.arange(20), batch_size=8, epoch=1)
    copied = pickle.loads(pickle.dumps(data))
    for i in (2, 0):
        for mine, theirs in zip(data[i][0].values(), copied[i][0].values(), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_epochs_have_their_own_order_unless_told_otherwise(strategy):
    def orders(**options):
        data = MaskedPyDataset(strategy, np.arange(20), batch_size=20, **options)
        found = [data.ids(0).tolist()]
        data.on_epoch_end()
        return [*found, data.ids(0).tolist()]

    first, second = orders()
    assert first != second
    assert orders() == [first, second]
    assert orders(advance=False) == [first, first]
    assert orders(shuffle=False) == 2 * [list(range(20))]


def test_token_numbers_have_static_shapes(strategy):
    data = MaskedPyDataset(strategy, np.arange(16), batch_size=8, indices=dict(count=12, target_count=9))
    (inputs,) = data[0]
    assert inputs["context"].shape == inputs["context_valid"].shape == (8, 12)
    assert inputs["targets"].shape == (8, 4, 9)
    assert inputs["restore"].dtype == np.int32
    expected = strategy.sample(data.ids(0)).numpy().to_indices(12, 9)
    np.testing.assert_array_equal(inputs["targets"], expected.targets)


def test_groups_are_nested(strategy):
    levels = maskkit.create(
        "hierarchical", input_size=96, base_scale=(0.1, 0.2), num_target_masks=2, overlap="allow", seed=1
    )
    (inputs,) = MaskedPyDataset(levels, np.arange(8), batch_size=4)[0]
    assert inputs["level_1"]["targets"].shape == (4, 2, 36)


def test_schedules_are_given_the_step(strategy):
    steps = []

    class Scheduled:
        seed = 0

        def sample(self, ids, epoch, step=None):
            steps.append(step)
            return strategy.sample(ids, epoch)

    data = MaskedPyDataset(Scheduled(), np.arange(16), batch_size=8, epoch=3)
    assert isinstance(data[1], tuple)
    MaskCollator(Scheduled(), epoch=3, steps_per_epoch=10)([(0, 0)])
    assert steps == [7, 30]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(batch_size=0), "batch_size must be an integer, 1 or more, got 0"),
        (dict(epoch=-1), "epoch must be an integer, 0 or more, got -1"),
        (dict(y=np.arange(3)), "x and y must have one row for each sample, got 16 and 3"),
    ],
)
def test_wrong_options_of_the_keras_dataset_are_named(strategy, options, words):
    with pytest.raises(ConfigError, match=words):
        MaskedPyDataset(strategy, np.arange(16), **options)


def test_the_batch_that_a_collator_makes_is_a_mask_batch(strategy):
    _, masks = MaskCollator(strategy)([(3, torch.ones(2)), (1, torch.ones(2))])
    assert isinstance(masks, MaskBatch)
    context, targets = masks
    assert (context.shape, targets.shape) == ((2, 36), (2, 4, 36))
