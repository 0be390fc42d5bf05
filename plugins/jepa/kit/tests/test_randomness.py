"""Random numbers of samples are a function of (seed, epoch, id, column), and as good as independent."""

import numpy as np
import pytest
from maskkit_jepa import between, bits, choose, fork, integers, keys, shuffle, uniform

N = 200_000


def test_a_sample_has_its_key_whatever_the_batch():
    ids = np.array([5, 0, 2**40, 17, 3])
    together = keys(3, 1, ids)
    assert [int(keys(3, 1, np.array([i]))[0]) for i in ids] == together.tolist()


def test_columns_can_be_asked_for_in_any_split():
    k = keys(0, 0, np.arange(4))
    whole = bits(k, 0, 10)
    np.testing.assert_array_equal(bits(k, 3, 4), whole[:, 3:7])
    starts = np.array([0, 2, 5, 9])
    expected = whole[np.arange(4), starts][:, None]
    np.testing.assert_array_equal(bits(k, starts, 1), expected)


def test_the_keys_are_pinned():
    """Changing the hash would change every mask of every training that is resumed."""
    assert keys(0, 0, [0, 1]).tolist() == [3746585686858627171, 6235967106033911276]
    assert bits(keys(7, 3, [12]), 5, 1).tolist() == [[8733397701621855238]]
    assert fork(keys(7, 3, [12]), 2).tolist() == [4201981634530848575]


@pytest.mark.parametrize("seed", [0, 1, 2**63, 2**64 - 1])
def test_numbers_are_uniform(seed):
    """256 cells, 200,000 numbers: chi-square within five deviations of its mean."""
    numbers = uniform(keys(seed, 0, np.arange(N // 2)), 0, 2).ravel()
    assert 0 <= numbers.min() <= numbers.max() < 1
    counts = np.bincount((numbers * 256).astype(int), minlength=256)
    chi2 = ((counts - N / 256) ** 2 / (N / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)


def pairs():
    k = keys(1, 0, np.arange(N + 1))
    one = uniform(k, 0, 3)
    yield "neighbouring samples", one[:-1, 0], one[1:, 0]
    yield "neighbouring columns", one[:, 0], one[:, 1]
    yield "columns of neighbouring samples", one[:-1, 1], one[1:, 0]
    yield "seeds", one[:, 0], uniform(keys(2, 0, np.arange(N + 1)), 0, 1)[:, 0]
    yield "epochs", one[:, 0], uniform(keys(1, 1, np.arange(N + 1)), 0, 1)[:, 0]
    yield "forks", one[:, 0], uniform(fork(k, 1), 0, 1)[:, 0]
    yield "forks of forks", uniform(fork(k, 1), 0, 1)[:, 0], uniform(fork(k, 2), 0, 1)[:, 0]


@pytest.mark.parametrize(("a", "b"), [pytest.param(a, b, id=what) for what, a, b in pairs()])
def test_numbers_do_not_go_together(a, b):
    """Chi-square of the joint law on 16 x 16 cells, within five deviations; and no linear relation."""
    joint = np.bincount((a * 16).astype(int) * 16 + (b * 16).astype(int), minlength=256)
    chi2 = ((joint - len(a) / 256) ** 2 / (len(a) / 256)).sum()
    assert abs(chi2 - 255) < 5 * np.sqrt(2 * 255)
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(len(a))


def test_between_and_integers_stay_inside():
    k = keys(0, 0, np.arange(10_000))
    numbers = between(k, 0, 3, -2, [1, 2, 3])
    assert (numbers >= -2).all()
    assert (numbers < [1, 2, 3]).all()
    assert set(np.unique(integers(k, 3, 1, 5))) == set(range(5))


def test_shuffles_are_permutations_and_all_equally_likely():
    orders = shuffle(keys(0, 0, np.arange(24_000)), 0, 4)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.broadcast_to(np.arange(4), orders.shape))
    _, counts = np.unique(orders @ [64, 16, 4, 1], return_counts=True)
    assert len(counts) == 24
    assert ((counts - 1000) ** 2 / 1000).sum() < 23 + 5 * np.sqrt(46)


@pytest.mark.parametrize("count", [0, 1, 3, 7, 8, 9])
def test_choose_takes_exactly_so_many(count):
    chosen = choose(keys(0, 0, np.arange(500)), 0, count, 8)
    assert (chosen.sum(axis=1) == min(count, 8)).all()


def test_choose_takes_each_position_equally_often():
    chosen = choose(keys(0, 0, np.arange(40_000)), 0, 49, 196)
    deviation = np.sqrt(40_000 * 0.25 * 0.75)
    assert abs(chosen.sum(axis=0) - 10_000).max() < 5 * deviation


def test_choose_takes_each_set_equally_often():
    chosen = choose(keys(0, 0, np.arange(20_000)), 0, 3, 6)
    _, counts = np.unique(chosen @ (1 << np.arange(6)), return_counts=True)
    assert len(counts) == 20
    assert ((counts - 1000) ** 2 / 1000).sum() < 19 + 5 * np.sqrt(38)


def test_choose_takes_from_what_there_is():
    among = np.tile(np.arange(10) % 3 == 0, (4, 1))
    among[3] = False
    for count in (2, np.array([0, 1, 4, 2])):
        chosen = choose(keys(0, 0, np.arange(4)), 0, count, among)
        assert not (chosen & ~among).any()
        np.testing.assert_array_equal(chosen.sum(axis=1), np.minimum(np.broadcast_to(count, 4), among.sum(axis=1)))
