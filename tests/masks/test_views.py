"""Some rows and keys of a mask, and what is no slice."""

import pytest
import maskkit


@pytest.fixture
def causal():
    return maskkit.create("causal", seq_len=8)


def test_views_are_lazy_and_cheap():
    """A row of a mask of 10**12 pairs costs a row."""
    mask = maskkit.create("causal", seq_len=10**6)
    row = mask[-1:, :]
    assert row.shape == (1, 10**6)
    assert row.allowed().all()
    assert mask[500_000:500_003, 499_999:500_004].allowed().tolist() == [
        [True, True, False, False, False],
        [True, True, True, False, False],
        [True, True, True, True, False],
    ]


def test_views_of_views_are_one_view(causal):
    assert causal[2:, :][1:, ::2] == causal[3:, ::2]
    assert causal[::-1, :][::-1, :].slices == ((0, 1, 8), (0, 1, 8))
    assert causal[:, :] is causal
    assert causal[...] is causal


@pytest.mark.parametrize(
    ("key", "error", "words"),
    [
        (3, TypeError, "3:3 \\+ 1"),
        ((slice(None), [1, 2]), TypeError, "cut by slices"),
        ((slice(None),) * 3, IndexError, "takes 2 slices, got 3"),
        (slice(8, None), IndexError, "empty"),
    ],
)
def test_other_keys_are_refused(causal, key, error, words):
    with pytest.raises(error, match=words):
        causal[key]
