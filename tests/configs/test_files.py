"""YAML, TOML and JSON: read strictly, and errors that say file, line and section."""

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
