"""Global-local: the contract, and the facts."""

from maskkit_mask_causal import Causal
from maskkit_mask_global_local import GlobalLocal
from maskkit_mask_sliding_window import SlidingWindow
from maskkit.testing import check_plugin


def test_contract():
    check_plugin(GlobalLocal)


def test_gives_causal_and_sliding_window():
    config = GlobalLocal(seq_len=9, sliding_window=4)
    assert config.build() == (Causal(seq_len=9), SlidingWindow(seq_len=9, window_size=4))


def test_the_window_is_part_of_the_whole():
    everywhere, nearby = GlobalLocal(seq_len=9, sliding_window=4).masks()
    assert not (nearby & ~everywhere).allowed().any()
