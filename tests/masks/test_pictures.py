"""Pictures of masks too large to look at every row."""

import numpy as np
import pytest
import maskkit
from maskkit.masks.draw import shares as drawing


@pytest.mark.parametrize("length", [10**9, 10**12, 2**53 - 1])
@pytest.mark.parametrize("expression", ["causal", "~causal", "key_padding", "causal & ~banded(band_width=5)"])
def test_a_mask_of_any_length_is_drawn_and_says_that_rows_are_sampled(expression, length):
    mask = (
        maskkit.create("key_padding", lengths=[5, length], seq_len=length)
        if expression == "key_padding"
        else maskkit.parse(expression, seq_len=length)
    )
    last = mask.text(40).splitlines()[-1]
    assert last.startswith("each cell is ")
    assert "of which one row in" in last


def test_sampled_pictures_are_near_the_exact_ones(monkeypatch):
    masks = [maskkit.parse(e, seq_len=2000) for e in ("causal & banded(band_width=801)", "causal & random(seed=1)")]
    exact = [drawing.shares(mask, 20, 20)[0] for mask in masks]
    for name, most in (("_MOST_ROWS", 500), ("_MOST_POSITIONS", 10**5), ("_SAMPLE", 10**5)):
        monkeypatch.setattr(drawing, name, most)
    for mask, whole, step in zip(masks, exact, [(4, 1), (6, 6)], strict=True):
        sampled = drawing.shares(mask, 20, 20)[0]
        assert sampled.step == step
        assert sampled.values.shape == (20, 20)
        assert np.abs(sampled.values - whole.values).max() < 0.1


def test_a_picture_is_exact_where_it_does_not_say_otherwise():
    drawn = drawing.shares(maskkit.create("causal", seq_len=2**20), 16, 16)[0]
    assert drawn.step == (1, 1)
    assert drawn.scale() == "each cell is 65,536 x 65,536"
    assert drawn.values[0, 0] == (2**16 + 1) / 2**17


def test_forms_of_a_length_that_nobody_goes_through_are_refused():
    mask = maskkit.create("causal", seq_len=10**12)
    with pytest.raises(maskkit.TooLarge, match=r"1,000,000,000,000 rows, the limit is"):
        mask.cu_seqlens()
    with pytest.raises(maskkit.TooLarge, match=r"1,000,000,000,000 rows, the limit is"):
        mask.mask_mod()
    assert "1,000,000,000,000 rows" in mask.fits()["window"].why
