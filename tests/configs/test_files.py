"""YAML, TOML and JSON: read strictly, and errors that say file, line and section."""

import json
import time

import numpy as np
import pytest
from messages import message_of
import maskkit

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
        (".yaml", "type: causal\nseq_len: !!bool maybe\n", "line 2: malformed YAML: 'maybe' is no bool"),
        (".yaml", "type: causal\nseq_len: !!timestamp foo\n", "line 2: malformed YAML: 'foo' is no timestamp"),
        (".yaml", "type: causal\nseq_len: !!int ''\n", "line 2: malformed YAML: '' is no int"),
        (".yaml", "a: !!map [1]\n", "line 1: malformed YAML: expected a mapping"),
        (".yaml", "a: 1\nb: !!set [a]\n", "line 2: malformed YAML: expected a mapping"),
        (".yaml", "type: causal\nseq_len: 010\n", "line 2: malformed YAML: '010' is read as another number"),
        (
            ".yaml",
            "type: causal\nseq_len: 190:20:30\n",
            "line 2: malformed YAML: '190:20:30' is read as another number",
        ),
        (".yaml", f"type: causal\nseq_len: {'9' * 5000}\n", "line 2: malformed YAML: Exceeds the limit (4300 digits)"),
        (".json", f'{{"type": "causal",\n"seq_len": {"9" * 5000}}}', "line 2: malformed JSON: Exceeds the limit"),
        (".toml", f'type = "causal"\nseq_len = {"9" * 5000}', "line 2: malformed TOML: Exceeds the limit"),
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
    assert "is no path of a file" in message_of(maskkit.load, "a\0.yaml")
    assert message_of(maskkit.load, None) == "the path of a file must be a string, got None"
    assert message_of(maskkit.load, "x.yaml", 3).startswith("key must be the dotted path of a section")


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


@pytest.mark.parametrize("suffix", CONTENT)
def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path, suffix):
    path = tmp_path / f"model{suffix}"
    path.write_text(CONTENT[suffix], encoding="utf-8-sig")
    assert maskkit.load(path, "model.mask") == maskkit.parse("causal & banded", seq_len=8, band_width=3)


@pytest.mark.parametrize("shape", [(64, 16384), (1001, 1001)])
def test_what_was_saved_is_read_at_any_size(tmp_path, shape):
    """JSON has no aliases: what stands in it was written there."""
    mask, path = maskkit.from_array(np.ones(shape, bool), true="allowed"), tmp_path / "mask.json"
    path.write_text(json.dumps(maskkit.to_dict(mask)))
    assert maskkit.load(path) == mask


def test_merge_keys_are_counted_before_they_are_written_out(tmp_path):
    """Each line merges ten times the line before: 600 bytes that took hours."""
    lines = ["a0: &a0 {k0: 1}"]
    lines += [f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}], k{i}: 1}}" for i in range(1, 10)]
    (tmp_path / "b.yaml").write_text("\n".join(lines))
    start = time.process_time()
    assert "line 6: malformed YAML: merge keys stand for more than" in message_of(maskkit.load, tmp_path / "b.yaml")
    assert time.process_time() - start < 2


def test_merge_keys_are_merged(tmp_path):
    path = tmp_path / "mask.yaml"
    path.write_text("a: &a {type: causal, seq_len: 4}\nb: &b {<<: *a, seq_len: 5}\nc: {<<: [*b, *a]}\n")
    assert maskkit.load(path, "c") == maskkit.create("causal", seq_len=5)


def test_a_key_is_a_word_in_yaml(tmp_path):
    """`true` is one in the saved form of an array, and needs no quotes."""
    path = tmp_path / "mask.yaml"
    path.write_text("array: [[true, false]]\ntrue: allowed\n1: {type: causal}\n")
    assert "needs axes, true beside it" in message_of(maskkit.load, path)
    path.write_text("array: [[true, false]]\ntrue: allowed\n")
    assert maskkit.load(path) == maskkit.from_array([[True, False]], true="allowed")


def test_numbers_with_an_exponent_are_numbers_in_yaml(tmp_path):
    """JSON and TOML say so, and YAML 1.1 takes them for text."""
    path = tmp_path / "mask.yaml"
    path.write_text("{type: random, seq_len: 4, seed: 0, mask_probability: 5e-1}")
    assert maskkit.load(path) == maskkit.create("random", seq_len=4, seed=0, mask_probability=0.5)


@pytest.mark.parametrize("depth", [450, 3000, 30_000])
@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_masks_that_stand_too_deep_in_a_file(tmp_path, suffix, depth):
    path = tmp_path / f"deep.{suffix}"
    path.write_text('{"not": ' * depth + '{"type": "causal", "seq_len": 4}' + "}" * depth)
    assert "nested too deeply to be read" in message_of(maskkit.load, path)


def test_an_integer_of_thousands_of_digits_is_refused_in_words():
    assert "a value of type int that is too large to print" in message_of(maskkit.create, "causal", seq_len=16**5000)
