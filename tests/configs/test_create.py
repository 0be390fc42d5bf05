"""`create` and its kin: names, mappings, expressions, files, and every way to get them wrong."""

import json

import numpy as np
import pytest
from attrs import define, field, frozen
import maskkit
from maskkit import AttentionMask, positive
from maskkit.testing import check_plugin


def message_of(call, *args, error=maskkit.ConfigError, **kwargs):
    with pytest.raises(error) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# -- names ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["causal", "mask.causal"])
def test_short_and_full_names(name):
    assert maskkit.create(name, seq_len=4).shape == (4, 4)
    assert maskkit.create("causal", kind="mask", seq_len=4) == maskkit.create(name, seq_len=4)


def test_names_come_sorted():
    full = maskkit.names()
    assert full == sorted(full)
    assert "mask.causal" in full
    assert "causal" in maskkit.names("mask")
    with pytest.raises(maskkit.ConfigError, match="kind must be one of"):
        maskkit.names("masks")


def test_unknown_names_say_the_nearest_and_how_to_list():
    text = message_of(maskkit.create, "causl", seq_len=3, error=maskkit.UnknownName)
    assert "'causl'" in text
    assert "did you mean 'causal'" in text
    assert "maskkit list" in text
    with pytest.raises(LookupError):
        maskkit.create("nothing_like_it")
    with pytest.raises(ValueError, match="Unknown attention type 'vanilla_attention'"):
        maskkit.create("vanilla_attention", kind="attention")


def test_a_name_of_another_kind_is_pointed_out():
    text = message_of(maskkit.create, "causal", kind="strategy", error=maskkit.UnknownName)
    assert "there is mask.causal" in text


@pytest.mark.parametrize("name", [3, None, ["causal"]])
def test_names_must_be_strings(name):
    assert "a name must be a string" in message_of(maskkit.create, name)


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


# -- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [True, 2.5, 4.0, "4", None, [4]])
def test_integers_are_integers(bad):
    """No 2.5 -> 2, no True -> 1, no '4' -> 4; through create and through the class alike."""
    assert f"seq_len must be an integer, got {bad!r}" in message_of(maskkit.create, "causal", seq_len=bad)
    with pytest.raises(maskkit.ConfigError, match="seq_len must be an integer"):
        type(maskkit.create("causal", seq_len=4))(seq_len=bad)


@pytest.mark.parametrize("kind", [np.int8, np.int64, np.uint16])
def test_numpy_integers_are_integers(kind):
    mask = maskkit.create("causal", seq_len=kind(7))
    assert mask == maskkit.create("causal", seq_len=7)
    assert type(mask.seq_len) is int


def test_missing_parameters_use_the_known_words():
    assert message_of(maskkit.create, "causal") == "seq_len required for causal mask"
    text = message_of(maskkit.create, "sliding_window", seq_len=128)
    assert text == "window_size required for sliding window mask"


def test_values_out_of_range_use_the_known_words():
    assert (
        message_of(maskkit.create, "sliding_window", seq_len=8, window_size=-1)
        == "window_size must be positive, got -1"
    )
    text = message_of(maskkit.create, "random", seq_len=8, mask_probability=1.5)
    assert text == "mask_probability must be in [0, 1], got 1.5"
    assert "seq_len must be positive, got 0" in message_of(maskkit.create, "causal", seq_len=0)
    assert "mask_probability must be a number" in message_of(
        maskkit.create, "random", seq_len=8, mask_probability=float("nan")
    )


def test_integers_beyond_64_bits_are_out_of_range():
    text = message_of(maskkit.create, "sliding_window", seq_len=4, window_size=2**62)
    assert text == f"window_size must be positive, got {2**62}; integers must be less than 2**62"
    largest = maskkit.create("sliding_window", seq_len=4, window_size=2**62 - 1)
    np.testing.assert_array_equal(largest, maskkit.create("causal", seq_len=4))


def test_unknown_parameters_say_the_nearest():
    text = message_of(maskkit.create, "sliding_window", seq_len=8, windw_size=3, window_size=2)
    assert (
        text
        == "unknown parameter 'windw_size'; did you mean 'window_size'? (sliding_window takes seq_len, window_size)"
    )


def test_all_problems_come_at_once():
    text = message_of(maskkit.create, "random", seq_len=2.5, mask_probability=7, sed=1)
    assert "3 problems" in text
    for part in ("seq_len must be an integer", "mask_probability must be in [0, 1]", "did you mean 'seed'"):
        assert part in text
    both = message_of(maskkit.create, "sliding_window", seq_len=True)
    assert "window_size required" in both
    assert "got True" in both


def test_bad_arrays_are_described_not_printed():
    text = message_of(maskkit.create, "padding", padding_mask=np.zeros((4, 5)))
    assert text == ("padding_mask must be a boolean array with 2 axes, got an array of shape (4, 5) and dtype float64")
    text = message_of(maskkit.create, "padding", padding_mask=np.zeros((0, 5), bool))
    assert text.endswith("got an array of shape (0, 5) and dtype bool; no axis may be empty")
    assert "must be a boolean array" in message_of(maskkit.create, "padding", padding_mask="yes")
    ragged = message_of(maskkit.create, "padding", padding_mask=[[True], [True, False]])
    assert ragged == "padding_mask must be a boolean array with 2 axes, got [[True], [True, False]]"
    assert "must be a boolean array" in message_of(maskkit.create, "padding", padding_mask=[[0, 1]])


# -- mappings ---------------------------------------------------------------------------------------------------------


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
        ({"view": {"type": "causal", "seq_len": 4}}, "needs axes"),
        ({"view": {"type": "causal", "seq_len": 4}, "axes": [[0, 1], [0, 1]]}, r"lists \[start, step, count\]"),
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


def test_global_local_is_a_pair():
    everywhere, nearby = maskkit.create("global_local", seq_len=12, sliding_window=3)
    assert everywhere == maskkit.create("causal", seq_len=12)
    assert nearby == maskkit.create("sliding_window", seq_len=12, window_size=3)
    config = maskkit.config("global_local", seq_len=12, sliding_window=3)
    assert (
        maskkit.from_dict(maskkit.to_dict(config)) == (everywhere, nearby)
        or maskkit.from_dict(maskkit.to_dict(config)) == config
    )


def test_config_validates_without_building():
    assert maskkit.config("causal", seq_len=3).seq_len == 3
    with pytest.raises(maskkit.ConfigError, match="built already"):
        maskkit.create(maskkit.create("causal", seq_len=3))


# -- expressions ------------------------------------------------------------------------------------------------------


def test_expressions_combine_masks():
    mask = maskkit.parse("causal & ~(banded(band_width=5) ^ mask.block_diagonal(block_size=4))", seq_len=16)
    parts = [
        maskkit.create(n, seq_len=16, **p)
        for n, p in (("causal", {}), ("banded", {"band_width": 5}), ("block_diagonal", {"block_size": 4}))
    ]
    assert mask == parts[0] & ~(parts[1] ^ parts[2])


def test_what_an_expression_says_wins_over_what_is_shared():
    mask = maskkit.parse("sliding_window(window_size=2) | sliding_window", seq_len=9, window_size=4)
    assert [part.window_size for part in mask.parts] == [2, 4]


@pytest.mark.parametrize(
    "text",
    [
        "causal and causal",
        "causal + causal",
        "not causal",
        "causal(16)",
        "causal(seq_len=n)",
        "causal(seq_len=2**3)",
        "causal(**{})",
        "causal(type='banded')",
        "causal[0]",
        "causal.allows",
        "a.b.c",
        "().__class__",
        "__import__('os')",
        "(lambda: 0)()",
        "causal if causal else causal",
        "[causal]",
        "3",
        "'causal'",
        "causal & 1",
        "f(causal)",
        "causal(seq_len={x for x in ()})",
    ],
)
def test_expressions_hold_nothing_else(text):
    with pytest.raises(maskkit.ConfigError) as caught:
        maskkit.parse(text, seq_len=4)
    words = str(caught.value)
    assert "an expression holds names" in words or isinstance(caught.value, maskkit.UnknownName)


@pytest.mark.parametrize("text", ["causal &", "(causal", "", "~", "causal\ncausal", "\0"])
def test_malformed_expressions_say_where(text):
    with pytest.raises(maskkit.ConfigError, match="cannot read"):
        maskkit.parse(text)


def test_expressions_too_deep_or_too_long_are_refused():
    with pytest.raises(maskkit.ConfigError, match=r"so deep|cannot read|at most"):
        maskkit.parse("~" * 5000 + "causal", seq_len=4)
    with pytest.raises(maskkit.ConfigError, match="at most 10000 characters"):
        maskkit.parse("causal & " * 5000 + "causal", seq_len=4)


# -- files ------------------------------------------------------------------------------------------------------------

CONTENT = {
    ".yaml": """
model:
  mask:
    and:
      - {type: causal, seq_len: 8}
      - type: banded
        seq_len: 8
        band_width: 3
""",
    ".toml": """
[[model.mask.and]]
type = "causal"
seq_len = 8
[[model.mask.and]]
type = "banded"
seq_len = 8
band_width = 3
""",
    ".json": """
{"model": {"mask": {"and": [{"type": "causal", "seq_len": 8}, {"type": "banded", "seq_len": 8, "band_width": 3}]}}}
""",
}


@pytest.mark.parametrize("suffix", CONTENT)
def test_files_of_three_formats(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_text(CONTENT[suffix])
    assert maskkit.load(path, "model.mask") == maskkit.parse("causal & banded", seq_len=8, band_width=3)
    text = message_of(maskkit.load, path, key="model.masks")
    assert "no section 'masks' in model; it has mask; did you mean 'mask'?" in text
    assert str(path) in text


@pytest.mark.parametrize(
    ("suffix", "content", "line"),
    [
        (".yaml", "type: causal\nseq_len: [8\n", "line 3"),
        (".yaml", "type: causal\nseq_len: 8\nseq_len: 9\n", "line 3: malformed YAML: duplicate key 'seq_len'"),
        (".yaml", "type: !!python/object/apply:os.system [ls]\n", "line 1"),
        (".yaml", "type: causal\n? [1, 2]\n: 3\n", "line 2: malformed YAML: a key must be a word"),
        (".toml", 'type = "causal"\nseq_len = = 8\n', "line 2: malformed TOML: Invalid value"),
        (
            ".yaml",
            "type: causal\nseq_len: 8\0\n",
            "line 2: malformed YAML: special characters are not allowed: '\\x00'",
        ),
        (".yaml", "type: causal\nseq_len: 2026-13-45\n", "line 2: malformed YAML: month must be in 1..12"),
        (".toml", "type = ", "line 1: malformed TOML: Invalid value"),
        (".toml", 'type = "causal"\nseq_len = [', "line 2: malformed TOML: Invalid value"),
        (".json", '{"type": ', "line 1: malformed JSON"),
        (".json", '{"type": "causal",\n "seq_len": }', "line 2"),
        (".json", '{"type": "causal",\n\t"type": "banded"}', "line 2: malformed JSON: duplicate key 'type'"),
    ],
)
def test_malformed_files_say_file_and_line(tmp_path, suffix, content, line):
    path = tmp_path / f"bad{suffix}"
    path.write_text(content)
    text = message_of(maskkit.load, path)
    assert str(path) in text
    assert line in text


def test_files_that_cannot_be_read(tmp_path):
    assert "unknown suffix '.ini'; use .yaml" in message_of(maskkit.load, tmp_path / "x.ini")
    assert "cannot be read: No such file" in message_of(maskkit.load, tmp_path / "x.json")
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    assert "not UTF-8" in message_of(maskkit.load, tmp_path / "x.toml")


@pytest.mark.parametrize("suffix", [".yaml", ".toml", ".json"])
def test_files_that_are_empty_or_nested_too_deeply(tmp_path, suffix):
    path = tmp_path / f"odd{suffix}"
    path.write_text("{}" if suffix == ".json" else "")
    assert message_of(maskkit.load, path).startswith(f"{path}: is empty; a config says")
    path.write_text(("a = " if suffix == ".toml" else "") + "[" * 100_000)
    assert message_of(maskkit.load, path) == f"{path}: nested too deeply to be read"


def test_aliases_are_counted_before_they_are_written_out(tmp_path):
    """A "billion laughs": each line stands for ten of the line before."""
    path = tmp_path / "mask.yaml"
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    path.write_text("\n".join(lines))
    assert "its aliases stand for 1" in message_of(maskkit.load, path)
    path.write_text("type: causal\nseq_len: &itself [*itself]\n")
    assert message_of(maskkit.load, path) == f"{path}: an alias stands for what it is part of"


def test_problems_in_a_file_name_the_file(tmp_path):
    path = tmp_path / "mask.json"
    path.write_text('{"type": "causal", "seq_len": 0}')
    assert message_of(maskkit.load, path) == f"{path}: seq_len must be positive, got 0"
    path.write_text('{"type": "causl", "seq_len": 0}')
    with pytest.raises(maskkit.UnknownName, match="did you mean 'causal'"):
        maskkit.load(path)


# -- by hand ----------------------------------------------------------------------------------------------------------


@frozen(kw_only=True)
class Antidiagonal(AttentionMask):
    """Query q may see key n - 1 - q.

    Attributes:
        seq_len: number of tokens.
    """

    name = "antidiagonal"
    samples = (dict(seq_len=5),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return q + k == self.seq_len - 1


def test_register_adds_an_item_without_a_package():
    with maskkit.register(Antidiagonal):
        assert "antidiagonal" in maskkit.names("mask")
        mask = maskkit.create("antidiagonal", seq_len=4)
        np.testing.assert_array_equal(mask, np.eye(4, dtype=bool)[::-1])
        assert maskkit.from_dict(maskkit.to_dict(mask)) == mask
        assert maskkit.info("antidiagonal").summary == "Query q may see key n - 1 - q."
        check_plugin(Antidiagonal)
    with pytest.raises(maskkit.UnknownName):
        maskkit.create("antidiagonal", seq_len=4)


def test_register_refuses_what_breaks_the_contract():
    class Plain(AttentionMask):
        name = "plain"

    @define
    class Thawed(AttentionMask):
        name = "thawed"

    @frozen
    class Nameless(AttentionMask):
        pass

    @frozen
    class Causal(AttentionMask):
        name = "causal"

    for cls, words in (
        (Plain, "not decorated with @attrs.frozen"),
        (Thawed, "must be frozen"),
        (Nameless, "needs a class attribute name"),
        (Causal, "mask.causal is offered by maskkit-mask-causal"),
        (dict, "does not derive|not a class that derives"),
        (3, "not a class that derives"),
    ):
        with pytest.raises(maskkit.ConfigError, match=words):
            maskkit.register(cls)
