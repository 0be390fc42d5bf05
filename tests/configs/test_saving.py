"""Items into plain data and back."""

import maskkit


def test_global_local_is_a_pair():
    everywhere, nearby = maskkit.create("global_local", seq_len=12, sliding_window=3)
    assert everywhere == maskkit.create("causal", seq_len=12)
    assert nearby == maskkit.create("sliding_window", seq_len=12, window_size=3)
    config = maskkit.config("global_local", seq_len=12, sliding_window=3)
    assert (
        maskkit.from_dict(maskkit.to_dict(config)) == (everywhere, nearby)
        or maskkit.from_dict(maskkit.to_dict(config)) == config
    )
