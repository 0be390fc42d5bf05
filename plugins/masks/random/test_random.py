"""Random: the contract, and the facts."""

import numpy as np
import pytest
from maskkit_mask_random import Random
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(Random)


def test_extreme_probabilities():
    assert Random(seq_len=9, mask_probability=0.0).allowed().all()
    assert not Random(seq_len=9, mask_probability=1.0).allowed().any()


def test_the_default_blocks_a_tenth():
    """Of 160,000 pairs, within five standard errors."""
    blocked = Random(seq_len=400, seed=1).blocked().mean()
    assert blocked == pytest.approx(0.1, abs=5 * np.sqrt(0.1 * 0.9) / 400)


def test_seeds_differ():
    a, b = (Random(seq_len=64, mask_probability=0.5, seed=seed).allowed() for seed in (0, 1))
    assert 0.4 < (a == b).mean() < 0.6
