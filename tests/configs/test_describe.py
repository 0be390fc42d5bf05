"""What there is to know of an item, from its class alone."""

import json

import maskkit


def test_info_tells_what_there_is_to_know():
    info = maskkit.info("sliding_window")
    assert (info.kind, info.name, info.category) == ("mask", "sliding_window", "attention")
    assert [p.name for p in info.parameters] == ["seq_len", "window_size"]
    assert info.parameters[0].required
    assert info.parameters[0].limits == "must be positive"
    assert info.parameters[1].help == "number of keys that a query sees, itself included."
    assert info.provider == "maskkit-mask-sliding-window"
    assert "arXiv:2004.05150" in info.reference
    assert json.loads(json.dumps(info.to_dict()))["parameters"][0]["type"] == "an integer"
