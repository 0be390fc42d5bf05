"""What a command is about: files, stdin, arrays, and what a shell completes."""

import json
import re

import numpy as np
import pytest
import maskkit
from maskkit.cli import run

PICTURE = "┌──┐\n│█▄│\n└──┘\n"


@pytest.fixture
def cli(cli, monkeypatch, tmp_path):
    """In a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return cli


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.json", "c.yaml", "c.yml", "./c.json"])
def test_a_config_that_was_written_is_drawn(cli, name):
    assert cli("render", "causal", "--seq-len", "2", "-o", name)[0] == 0
    assert cli("render", name) == (0, PICTURE, "")
    assert cli("stats", name)[1].startswith("Causal(seq_len=2)\n")
    assert cli("plan", name)[1].startswith("Causal(seq_len=2)\n")


def test_toml_is_drawn_and_what_it_leaves_open_is_an_option(cli, tmp_path):
    (tmp_path / "c.toml").write_text('type = "causal"\n')
    assert cli("render", "c.toml", "--seq-len", "2") == (0, PICTURE, "")
    assert "--seq-len INT" in cli("render", "c.toml", "--help")[1]


@pytest.mark.parametrize("given", [("--key", "train.mask"), ("--key=train.mask",)])
def test_a_section_of_a_file_is_named(cli, tmp_path, given):
    (tmp_path / "c.yaml").write_text("train:\n  mask: {type: causal, seq_len: 2}\n")
    for order in (("c.yaml", *given), (*given, "c.yaml")):
        assert cli("render", *order) == (0, PICTURE, "")


@pytest.mark.parametrize(
    ("content", "args", "words"),
    [
        ("type: causal\nseq_len: 2.5", (), "c.yaml: seq_len must be an integer, got 2.5"),
        ("a:\n  type: causl", ("--key", "a"), "c.yaml at a: Unknown item 'causl'; did you mean 'causal'"),
        ("a:\n  type: causal", ("--key", "b"), "c.yaml: no section 'b'; it has a"),
        ("a:\n  type: causal\nb: 3", (), "c.yaml: has no type; name the section that is meant with --key (it has a)"),
        ("a: 1\na: 2", (), "c.yaml, line 2: malformed YAML: duplicate key 'a'"),
    ],
)
def test_errors_name_the_file_once(cli, tmp_path, content, args, words):
    (tmp_path / "c.yaml").write_text(content)
    code, _, err = cli("render", "c.yaml", *args)
    assert code == 1
    assert err.startswith(f"maskkit: {words}")
    assert err.count("c.yaml") == 1


def test_what_is_no_config_file_is_said(cli, tmp_path):
    np.save(tmp_path / "a.npy", np.eye(3))
    assert "a.npy: unknown suffix '.npy'; use .yaml" in cli("render", "a.npy")[2]
    assert "no.json: cannot be read: No such file or directory" in cli("render", "no.json")[2]
    assert "--key names a section of a file, and 'causal' is none" in cli("render", "causal", "--key", "a")[2]
    long = " & ".join(["random(seed=1, mask_probability=0.5)"] * 20)
    assert cli("render", long, "--seq-len", "2")[0] == 0, "longer than a name of a file can be"
    (tmp_path / "causal").write_text("not this")
    assert cli("render", "causal", "--seq-len", "2")[1] == PICTURE


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"type": "causal", "seq_len": 4, "seq_len": 5}', "stdin, line 1: malformed JSON: duplicate key 'seq_len'"),
        ("a: [", "stdin, line 1: malformed YAML"),
        ('{"type": "causal", "seq_len": 4.5}', "stdin: seq_len must be an integer, got 4.5"),
        ('{"type": "causl"}', "stdin: Unknown item 'causl'"),
        ("!!python/object:os.system x", "stdin, line 1: malformed YAML"),
        (" \n", "nothing on stdin; give a config such as"),
    ],
)
def test_a_config_on_stdin_keeps_its_own_error(cli, monkeypatch, text, words):
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    code, out, err = cli("render", "-")
    assert (code, out) == (1, "")
    assert err.startswith(f"maskkit: {words}")
    assert err.count("\n") == 1


# -- values -----------------------------------------------------------------------------------------------------------


def broken():
    """Files that are no array, by name."""
    import io

    whole, pickled, several = io.BytesIO(), io.BytesIO(), io.BytesIO()
    np.save(whole, np.zeros((2, 30), bool))
    np.save(pickled, np.array([{}, 1], object))
    np.savez(several, a=1)
    good = whole.getvalue()
    return {
        "empty": b"",
        "text": b"hello, this is text\n",
        "truncated": good[:-10],
        "header": good[:20],
        "garbled": good[:10] + b"}" * 118,
        "huge": good.replace(b"(2, 30)", b"(2000000000000, 3000)")[:128],
        "pickled": pickled.getvalue(),
        "several": several.getvalue(),
    }


@pytest.mark.parametrize(("name", "content"), broken().items(), ids=broken())
def test_a_file_that_is_no_array_is_named(cli, tmp_path, name, content):
    (tmp_path / f"{name}.npy").write_bytes(content)
    code, out, err = cli("stats", "padding", "--padding-mask", f"{name}.npy")
    assert (code, out) == (1, "")
    assert err.startswith(f"maskkit: {name}.npy: is no .npy file of numbers: ")
    assert err.count("\n") == 1


def test_the_end_of_a_file_is_no_interrupt(cli, monkeypatch):
    """Of which typer makes an Abort, as it does of an interrupt."""

    def ends(*_):
        raise EOFError("there is no more")

    monkeypatch.setattr("maskkit.cli.pictures.build_target", ends)
    code, _, err = cli("render", "causal", "--seq-len", "2")
    assert code == 1
    assert err.strip() == "maskkit: EOFError: there is no more (--debug shows where)"


# -- seeds ------------------------------------------------------------------------------------------------------------


def test_the_seed_that_was_drawn_is_told(cli):
    _, drawn, err = cli("render", "random", "--seq-len", "9")
    (seed,) = re.fullmatch(r"seed (\d+) was drawn; --seed \1 gives the same again\n", err).groups()
    assert cli("render", "random", "--seq-len", "9", "--seed", seed) == (0, drawn, "")
    assert cli("stats", "random", "--seq-len", "9", "--json")[2].startswith("seed ")
    assert cli("stats", "causal", "--seq-len", "9")[2] == ""


def test_several_seeds_are_kept_by_a_file(cli):
    expression = "random(mask_probability=0.2) | random(mask_probability=0.3) & random(seed=3)"
    _, _, err = cli("render", expression, "--seq-len", "9")
    assert re.fullmatch(r"drawn with seed \d+ and \d+; -o FILE.yaml keeps what was drawn\n", err)
    cli("render", expression, "--seq-len", "9", "-o", "a.yaml")
    again = cli("render", "a.yaml")
    assert again == cli("render", "a.yaml")
    assert again[2] == ""


def test_the_option_is_named_only_where_it_is_meant(cli):
    """Beside a seed that was given it would be that one's."""
    _, _, err = cli("render", "random(seed=3) | random(mask_probability=0.2)", "--seq-len", "9")
    assert re.fullmatch(r"drawn with seed \d+; -o FILE.yaml keeps what was drawn\n", err)


def test_no_seed_is_told_of_what_failed(cli):
    assert cli("render", "random", "--seq-len", "9", "-o", "no/such/a.png")[2].count("\n") == 1


# -- completion -------------------------------------------------------------------------------------------------------


@pytest.fixture
def completed(capsys, monkeypatch):
    """What a shell is offered for the last of some words."""

    def call(*words):
        monkeypatch.setenv("_MASKKIT_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(["maskkit", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        with pytest.raises(SystemExit) as done:
            run([])
        assert done.value.code in (0, None)
        shown = capsys.readouterr()
        assert shown.err == ""
        return shown.out.split("\n")[:-1] if shown.out.strip() else []

    return call


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("render", "sli"), ["sliding_window"]),
        (("stats", "sli"), ["sliding_window"]),
        (("plan", "sli"), ["sliding_window"]),
        (("show", "sli"), ["sliding_window"]),
        (("render", "mask.sp"), ["mask.spatial"]),
        (("render", '"causal & ~ban'), ["causal & ~banded"]),
        (("render", '"causal & (sli'), ["causal & (sliding_window"]),
        (("render", "nothing"), []),
        (("list", "--kind", "st"), ["strategy"]),
        (("render", "sliding_window", "--w"), ["--window-size"]),
        (("render", '"causal & banded"', "--b"), ["--band-width", "--blocked"]),
        (("render", "causl", "--sam"), ["--samples"]),
        (("render", "no-such.json", "--sam"), ["--samples"]),
        (("sta",), ["stats"]),
    ],
)
def test_shells_complete(completed, words, offered):
    assert sorted(completed(*words)) == offered


def test_only_what_has_a_picture_is_offered_to_draw(completed):
    """Layers and kernels are offered where they can be shown."""
    assert set(completed("render", "multi_")) == {"multi_block"}
    assert "multi_head" in completed("show", "multi_")


# -- help -------------------------------------------------------------------------------------------------------------


def test_the_bare_program_shows_its_help(cli):
    assert cli() == cli("--help")
    assert cli()[0] == 0


def test_no_line_of_help_is_cut(cli):
    _, out, _ = cli("--help")
    assert "..." not in out.partition("Commands:")[2]
    assert max(map(len, out.splitlines())) <= 80
    words = " ".join(out.split())
    assert "Say which kernel `maskkit.attend` takes for a mask, and what it and the others cost." in words
    assert "Show what every attention of a model really allows, its name, and what leaks;" in words


@pytest.mark.parametrize("columns", [12, 24, 40])
@pytest.mark.parametrize("target", [["causal", "--seq-len", "300"], ["multi_block", "--seed", "1"], ["global_local"]])
def test_pictures_fit_a_small_terminal(cli, monkeypatch, columns, target):
    monkeypatch.setenv("COLUMNS", str(columns))
    more = ["--seq-len", "300", "--sliding-window", "9"] if target == ["global_local"] else []
    code, out, _ = cli("render", *target, *more)
    assert code == 0
    assert max(len(line) for line in out.splitlines() if line[0] in "┌│└") <= columns


def test_a_kind_without_samples_says_so(cli):
    from attrs import frozen

    @frozen(kw_only=True)
    class One(maskkit.AttentionMask):
        """One picture only."""

        name = "one_picture"
        seq_len: int = 2

        def allows(self, q, k):
            return k <= q

        def picture(self, *, blocked=False):
            return maskkit.create("causal", seq_len=2).picture()

    with maskkit.register(One):
        assert cli("render", "one_picture") == (0, PICTURE, "")
        assert "of one_picture there is one picture" in cli("render", "one_picture", "--samples", "3")[2]


def test_saved_configs_are_what_was_drawn(cli, tmp_path):
    cli("render", "causal & banded(band_width=3)", "--seq-len", "4", "-o", "a.json")
    saved = json.loads((tmp_path / "a.json").read_text())
    assert maskkit.from_dict(saved) == maskkit.parse("causal & banded(band_width=3)", seq_len=4)
