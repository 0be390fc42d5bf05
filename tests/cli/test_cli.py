"""The command line, as a user types it: what it prints, writes, refuses, and returns."""

import json
import os
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import maskkit


def in_process_of_its_own(*args, **options):
    command = [sys.executable, "-m", "maskkit", *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# -- list, show, doctor -----------------------------------------------------------------------------------------------


def test_list_has_a_line_for_every_item(cli):
    code, out, _ = cli("list")
    assert code == 0
    found, kind = [], ""
    for line in filter(None, out.splitlines()):
        if line.startswith("  "):
            found.append(f"{kind}.{line.split()[0]}")
        else:
            kind = line.split()[0]
    assert found == sorted(
        maskkit.names(), key=lambda n: (["mask", "attention", "strategy", "kernel"].index(n.split(".")[0]), n)
    )


def test_list_says_each_name_once_and_who_provides_it_only_if_asked(cli):
    assert cli("list", "prefix_lm")[1] == "mask (1)\n  prefix_lm  the prefix is seen by all, what follows is causal\n"
    long = cli("list", "prefix_lm", "--long")[1].splitlines()[1]
    assert long.endswith(f" (maskkit-mask-prefix-lm {maskkit.__version__})")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("mask", "for a kind: maskkit list --kind mask"),
        ("masks", "for a kind: maskkit list --kind mask"),
        ("causl", "did you mean 'causal'?"),
        ("ing_", "a part of a name: maskkit list '*ing_*'"),
    ],
)
def test_list_says_what_else_may_have_been_meant(cli, pattern, words):
    assert cli("list", pattern) == (0, "", f"nothing installed matches {pattern!r}; {words}\n")


def test_list_filters_by_pattern_and_kind(cli):
    _, out, _ = cli("list", "*causal*", "--kind", "mask", "--json")
    found = json.loads(out)
    assert "causal" in [row["name"] for row in found]
    assert all("causal" in row["name"] and row["kind"] == "mask" for row in found)
    assert set(found[0]) == {"name", "kind", "full_name", "summary", "provider", "version", "status", "why"}
    code, out, err = cli("list", "nothing-*")
    assert (code, out, err) == (0, "", "nothing installed matches 'nothing-*'\n")
    code, _, err = cli("list", "--kind", "masks")
    assert code == 2
    assert "--kind must be one of mask, attention, strategy, kernel, got 'masks'" in err


def test_list_writes_requirements(cli):
    _, out, _ = cli("list", "causal", "--requirements")
    assert out == f"maskkit=={maskkit.__version__}\nmaskkit-mask-causal=={maskkit.info('causal').version}\n"


def test_show_tells_parameters_provider_reference_example(cli):
    _, out, _ = cli("show", "sliding_window")
    for words in (
        "mask.sliding_window:",
        "window_size",
        "required",
        "must be positive",
        "arXiv:2004.05150",
        "maskkit-mask-sliding-window",
        'maskkit.create("sliding_window", seq_len=16, window_size=4)',
    ):
        assert words in out
    shown = json.loads(cli("show", "sliding_window", "--json")[1])
    assert [p["name"] for p in shown["parameters"]] == ["seq_len", "window_size"]


def test_doctor_reports_versions_backends_and_plugins(cli):
    code, out, _ = cli("doctor", "--json")
    report = json.loads(out)
    assert code == 0
    assert report["versions"]["maskkit"] == maskkit.__version__
    assert report["backends"]["numpy"] == "available"
    assert {row["status"] for row in report["plugins"]} == {"loaded"}
    code, out, _ = cli("doctor", "--time")
    assert "milliseconds" in out
    assert out.splitlines()[-1] == f"all {len(report['plugins'])} plugins load"
    assert max(map(len, cli("doctor")[1].splitlines())) <= 80


# -- render -----------------------------------------------------------------------------------------------------------


def test_render_draws_in_the_terminal(cli):
    code, out, err = cli("render", "causal", "--seq-len", "6")
    assert (code, err) == (0, "")
    assert out == "┌──────┐\n│█▄    │\n│███▄  │\n│█████▄│\n└──────┘\n"
    _, out, _ = cli("render", "causal", "--seq-len", "6", "--blocked")
    assert out == "┌──────┐\n│ ▀████│\n│   ▀██│\n│     ▀│\n└──────┘\n"


def test_render_takes_expressions(cli):
    _, out, _ = cli("render", "causal & ~banded(band_width=3)", "--seq-len", "4")
    assert out == "┌────┐\n│    │\n│█▄  │\n└────┘\n"


def test_render_fits_the_width_and_says_the_scale(cli, monkeypatch):
    for columns in (20, 41, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        _, out, _ = cli("render", "causal", "--seq-len", "500")
        assert max(map(len, out.splitlines())) <= columns
        side = -(-500 // (columns - 2))
        assert out.splitlines()[-1] == f"each cell is {side} x {side}"


def test_render_draws_both_masks_of_a_pair(cli):
    _, out, _ = cli("render", "global_local", "--seq-len", "4", "--sliding-window", "1")
    assert out == (
        "Causal(seq_len=4)\n┌────┐\n│█▄  │\n│███▄│\n└────┘\n"
        "SlidingWindow(seq_len=4, window_size=1)\n┌────┐\n│▀▄  │\n│  ▀▄│\n└────┘\n"
    )


def test_a_million_tokens_draw_in_seconds(cli, tmp_path):
    """In the terminal and to png, in bounded memory: a dense array would take a terabyte."""
    start = time.perf_counter()
    expression = "causal & ~banded(band_width=200001)"
    code, out, _ = cli("render", expression, "--seq-len", "1000000")
    assert code == 0
    assert out.splitlines()[-1] == "each cell is 12,821 x 12,821"
    assert cli("render", expression, "--seq-len", "1000000", "-o", str(tmp_path / "big.png"))[0] == 0
    assert time.perf_counter() - start < 60  # a bound against n^2 work, which would take hours


def test_arrays_come_from_files_or_literals(cli, tmp_path):
    np.save(tmp_path / "padding.npy", np.array([[False, False, True]]))
    for value in (str(tmp_path / "padding.npy"), "[[False, False, True]]"):
        code, out, err = cli("render", "padding", "--padding-mask", value)
        assert (code, err) == (0, "")
        assert out == "┌───┐\n│██ │\n│   │\n└───┘\n"


@pytest.mark.parametrize("config", ['{"type": "causal"}', "type: causal", "not:\n  not: causal"])
def test_configs_come_from_stdin(config):
    done = in_process_of_its_own("render", "-", "--seq-len", "2", input=config)
    assert done.stdout == "┌──┐\n│█▄│\n└──┘\n", done.stderr


def test_render_writes_every_format(cli, tmp_path):
    expected = maskkit.create("causal", seq_len=6)
    for suffix in ("png", "svg", "pdf", "txt", "npy", "npz", "json"):
        path = tmp_path / f"mask.{suffix}"
        code, out, err = cli("render", "causal", "--seq-len", "6", "-o", str(path))
        assert (code, out, err) == (0, "", f"wrote {path}\n")
    assert (tmp_path / "mask.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "mask.pdf").read_bytes().startswith(b"%PDF")
    ElementTree.parse(tmp_path / "mask.svg")
    assert (tmp_path / "mask.txt").read_text() == "┌──────┐\n│█▄    │\n│███▄  │\n│█████▄│\n└──────┘\n"
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npy"), expected)
    np.testing.assert_array_equal(np.load(tmp_path / "mask.npz")["allowed"], expected)
    assert maskkit.load(tmp_path / "mask.json") == expected


def test_blocked_pictures_are_the_complement(cli, tmp_path):
    cli("render", "causal", "--seq-len", "6", "--blocked", "-o", str(tmp_path / "m.npz"))
    np.testing.assert_array_equal(
        np.load(tmp_path / "m.npz")["blocked"], ~np.asarray(maskkit.create("causal", seq_len=6))
    )


def test_every_item_has_its_own_help(cli):
    code, out, _ = cli("render", "sliding_window", "--help")
    assert code == 0
    assert "--window-size INT" in out
    assert "number of keys that a query sees" in out
    assert "--seq-len" not in cli("render", "--help")[1]
    both = cli("render", "causal & banded(band_width=3)", "--help")[1]
    assert "--seq-len" in both
    assert "--band-width" not in both


# -- stats, check -----------------------------------------------------------------------------------------------------


def test_stats_count(cli):
    _, out, _ = cli("stats", "causal", "--seq-len", "256", "--json")
    assert json.loads(out)["blocks"] == {"empty": 1, "partial": 2, "full": 1}
    _, out, _ = cli("stats", "causal", "--seq-len", "256", "--block-size", "64")
    assert "blocks of 64           6 empty, 4 partial, 6 full" in out
    assert "32,896 of 65,536 (50.1953%)" in out


def test_check_validates_a_file(cli, tmp_path):
    good, bad = tmp_path / "good.yaml", tmp_path / "bad.yaml"
    good.write_text("mask:\n  type: causal\n  seq_len: 8\n")
    bad.write_text("mask:\n  type: causal\n  seq_len: 8.5\n  window: 3\n")
    assert cli("check", str(good), "--key", "mask") == (0, f"{good}: ok: Causal(seq_len=8)\n", "")
    code, out, err = cli("check", str(bad), "--key", "mask")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert f"{bad} at mask: " in err
    assert "2 problems" in err


# -- faults -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["render", "causl"], 1, "did you mean 'causal'"),
        (["render", "causal"], 1, "seq_len required for causal mask"),
        (["render", "causal", "--seq-len", "2.5"], 1, "seq_len must be an integer, got 2.5"),
        (["render", "causal", "--seq-len", "True"], 1, "got True"),
        (["render", "causal", "--seq-len", "4", "--window-size", "2"], 2, "No such option: --window-size"),
        (["render", "causal & ", "--seq-len", "4"], 1, "cannot read"),
        (["render", "causal + causal", "--seq-len", "4"], 1, "not allowed here"),
        (["render", "causal", "--seq-len", "4", "-o", "mask.gif"], 1, "unknown suffix '.gif'; use one of .png"),
        (["render", "causal", "--seq-len", "4", "-o", "/no/such/folder/mask.png"], 1, "No such file or directory"),
        (["render", "causal", "--seq-len", "4", "-o", "/no/such/folder/mask.npy"], 1, "No such file or directory"),
        (["render", "causal", "--seq-len", "4", "-o", "/no/such/folder/mask.json"], 1, "No such file or directory"),
        (["render", "causal", "--seq-len", "4", "-o", "/proc/mask.svg"], 1, "/proc/mask.svg: "),
        (["check", "."], 1, "unknown suffix ''; use .yaml"),
        (["render", "causal", "--seq-len", "1000000", "-o", "mask.npy"], 1, "the limit is 8.0 GiB"),
        (["render", "global_local", "--seq-len", "4", "--sliding-window", "2", "-o", "x.npy"], 1, "use .npz"),
        (["show", "causl"], 1, "did you mean 'causal'"),
        (["check", "no-such-file.json"], 1, "cannot be read"),
        (["stats", "causal", "--seq-len", "4", "--block-size", "0"], 2, "0 is not in the range"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["list", "--nonsense"], 2, "No such option"),
    ],
)
def test_errors_are_one_line_with_an_exit_code(cli, tmp_path, monkeypatch, args, code, words):
    monkeypatch.chdir(tmp_path)
    found, out, err = cli(*args)
    assert (found, out) == (code, "")
    assert err.startswith("maskkit: ")
    assert err.count("\n") == 1
    assert words in err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
@pytest.mark.parametrize("name", ["mask.txt", "mask.png", "mask.npy", "mask.json"])
def test_a_full_disk_is_named(cli, tmp_path, name):
    (tmp_path / name).symlink_to("/dev/full")
    code, _, err = cli("render", "causal", "--seq-len", "8", "-o", str(tmp_path / name))
    assert (code, err) == (1, f"maskkit: {tmp_path / name}: No space left on device\n")


def test_unknown_options_come_with_the_nearest(cli):
    assert "--seq-len" in cli("render", "causal", "--seq-leng", "3")[2]


def test_debug_shows_the_traceback():
    done = in_process_of_its_own("--debug", "render", "causal", "--seq-len", "-3")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "seq_len must be positive, got -3" in done.stderr


def test_a_broken_pipe_is_quiet():
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "maskkit", "list"], stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert done.stderr == ""
    assert done.returncode == 1


def test_version_and_help(cli):
    assert cli("--version") == (0, f"maskkit {maskkit.__version__}\n", "")
    code, out, _ = cli("--help")
    assert code == 0
    for command in ("list", "show", "render", "stats", "check", "doctor"):
        assert f"\n  {command} " in out


def on_a_terminal(*args, **env):
    """What a terminal shows."""
    import pty

    main, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", **env}
    subprocess.run([sys.executable, "-m", "maskkit", *args], stdout=child, env=env, check=True)
    os.close(child)
    shown = os.read(main, 10_000).decode()
    os.close(main)
    return shown


def test_tables_honour_no_color():
    """On a terminal the list is rich's; without colour where NO_COLOR asks for it."""
    shown = on_a_terminal("list", "causal", NO_COLOR="1", COLUMNS="200")
    assert "a query sees itself" in shown
    assert "\x1b[3" not in shown
    assert "\x1b[36mcausal" in on_a_terminal("list", "causal", COLUMNS="200")


@pytest.mark.parametrize("columns", [30, 80])
def test_the_list_fits_the_terminal(columns):
    """What an item is comes under its name where it would be too narrow beside it."""
    shown = on_a_terminal("list", "--kind", "mask", COLUMNS=str(columns))
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()]
    assert lines[0] == f"mask ({len(maskkit.names('mask'))})"
    assert lines[1].startswith("  axial")
    assert max(map(len, lines)) <= columns


def test_tables_fit_a_narrow_terminal():
    """The columns of a row come one under the other where they would be too narrow to read."""
    shown = on_a_terminal("show", "banded", COLUMNS="40")
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()]
    assert "band_width" in lines
    assert "  default: required" in lines
