"""Mappings into items, and every way to get them wrong."""

import pytest
from messages import message_of
import maskkit


def test_mappings_build_what_they_say():
    assert maskkit.create({"type": "causal", "seq_len": 4}) == maskkit.create("causal", seq_len=4)
    assert maskkit.create({"type": "causal"}, seq_len=4) == maskkit.create("causal", seq_len=4)
    tree = {"and": ["causal", {"not": {"type": "banded", "band_width": 3}}]}
    assert maskkit.create(tree, seq_len=8) == maskkit.parse("causal & ~banded(band_width=3)", seq_len=8)


def test_problems_of_a_tree_come_with_their_paths():
    tree = {"and": [{"type": "causal", "seq_len": -1}, {"or": ["causl", {"not": {"type": "banded", "seq_len": 8}}]}]}
    text = message_of(maskkit.create, tree)
    assert "3 problems" in text
    assert "and[0]: seq_len must be positive, got -1" in text
    assert "and[1].or[0]: Unknown" in text
    assert "and[1].or[1].not: band_width required for banded mask" in text


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({}, "needs 'type'"),
        ({"typ": "causal"}, "needs 'type'"),
        ({"and": []}, "takes a list of masks"),
        ({"and": "causal"}, "takes a list of masks"),
        ({"and": ["causal"], "or": ["causal"]}, "stands alone"),
        ({"not": 3}, "expected a mapping with a type, or a name, got 3"),
        ({"view": {"type": "causal", "seq_len": 4}}, "needs slices"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[0, 1], [0, 1]]}, r"lists \[start, step, count\]"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[0, 1, 4]]}, "2 lists, one for each axis"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": None}, "2 lists, one for each axis"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[0, 1, 9], [2, 1, 1]]}, r"stay in 0\.\.3"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[0, 1, -4], [0, 1, 4]]}, r"stay in 0\.\.3"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[-1, -1, 2], [0, 1, 4]]}, r"stay in 0\.\.3"),
        ({"view": {"type": "causal", "seq_len": 4}, "slices": [[0, 0, 4], [0, 1, 4]]}, r"stay in 0\.\.3"),
        ({"pick": {"type": "key_padding", "lengths": [1], "seq_len": 4}, "axis": "batch", "index": 1}, "out of range"),
        ({"pick": {"type": "key_padding", "lengths": [1], "seq_len": 4}, "axis": [], "index": 0}, "unhashable"),
        ({"pick": {"type": "causal", "seq_len": 4}, "axis": "batch", "index": 0}, "no 'batch' of which"),
        ({"T": {"lengths": [1], "seq_len": 4, "padding": "post"}}, "'T' cannot be made of"),
        ({"astype": {"type": "global_local", "seq_len": 4, "sliding_window": 2}, "dtype": "int8"}, "gives several"),
        ({"grid": [{"type": "causal", "seq_len": 4}], "rows": [2**60], "columns": [0]}, "'rows' must say"),
        ({"array": [[True], [True, False]], "true": "allowed"}, "array must be a boolean array"),
        ({"array": {"values": [["False", "no"]], "dtype": "bool"}, "true": "allowed"}, "array must be a boolean array"),
        ({"array": {"values": [[1]], "dtype": "x"}, "true": "allowed"}, "array must be a boolean array"),
        ({"type": "document", "ids": {"values": [0.9, 1.2], "dtype": "int64"}}, "ids must be an integer array"),
        ({"and": [{"type": "global_local", "seq_len": 4, "sliding_window": 2}]}, "gives several masks"),
        ({"type": "causal", "seq_len": 4, "typo": 1}, "unknown parameter 'typo'"),
    ],
)
def test_malformed_mappings_are_refused(tree, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        maskkit.create(tree)


def test_shared_parameters_must_reach_someone():
    with pytest.raises(maskkit.ConfigError, match="no mask in it takes the parameter 'window_size'"):
        maskkit.parse("causal & causal", seq_len=4, window_size=2)


def test_config_validates_without_building():
    assert maskkit.config("causal", seq_len=3).seq_len == 3
    with pytest.raises(maskkit.ConfigError, match="built already"):
        maskkit.create(maskkit.create("causal", seq_len=3))
