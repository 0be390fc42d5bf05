"""Streams as a shell may leave them: closed, narrow, interrupted."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PROGRAM = f"exec {sys.executable} -m maskkit "


def shell(command, **env):
    """A command of the program, in a shell: (exit code, stdout, stderr)."""
    done = subprocess.run(
        ["sh", "-c", PROGRAM + command], capture_output=True, check=False, env={**os.environ, **env}, timeout=60
    )
    return done.returncode, done.stdout, done.stderr.decode()


@pytest.mark.parametrize("command", ["render causal --seq-len 4", "list", "--version", "", "stats causal --seq-len 4"])
def test_what_cannot_be_printed_is_said(command):
    assert shell(f"{command} >&-") == (1, b"", "maskkit: stdout: is closed\n")


def test_what_prints_nothing_does_not_need_stdout(tmp_path):
    """Nor does the file that it writes become the stream that is closed."""
    path = tmp_path / "m.svg"
    assert shell(f"render causal --seq-len 4 -o {path} >&-") == (0, b"", f"wrote {path}\n")
    assert shell(f"render causal --seq-len 4 -o {path} <&- >&- 2>&-") == (0, b"", "")
    assert path.read_bytes().startswith(b"<svg")
    assert path.read_bytes().endswith(b"</svg>")


def test_a_closed_stdin_is_an_empty_one():
    code, _, err = shell("render - <&-")
    assert (code, err[:25]) == (1, "maskkit: nothing on stdin")


def test_errors_never_go_to_stdout():
    assert shell("render causl 2>&-") == (1, b"", "")


@pytest.mark.parametrize(
    ("encoding", "picture"),
    [
        ("latin-1", b"+----+\n|#_  |\n|###_|\n+----+\n"),
        ("cp437", "┌────┐\n│█▄  │\n│███▄│\n└────┘\n".encode("cp437")),
        ("latin-1:replace", b"??????\n??? ??\n"),
        ("utf-8", "┌────┐\n│█▄  │\n│███▄│\n└────┘\n".encode()),
    ],
)
def test_pictures_are_drawn_with_what_the_encoding_holds(encoding, picture):
    code, out, err = shell("render causal --seq-len 4", PYTHONIOENCODING=encoding)
    assert (code, err) == (0, "")
    assert out == picture or (encoding.endswith("replace") and out.startswith(b"??????\n"))


def test_other_text_is_told_by_its_numbers():
    """Such as a name in another script."""
    command = [sys.executable, "-c", "from maskkit.cli.streams import prepare; prepare(); print('é→█')"]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert done.stdout == "é\\u2192#\n".encode("latin-1")


@pytest.mark.parametrize("module", ["maskkit.cli", "typer", "maskkit.cli.targets"])
def test_an_interrupt_while_the_program_is_imported_is_one(tmp_path, module):
    (tmp_path / "interrupted.py").write_text(
        "import builtins\n"
        "plain = builtins.__import__\n"
        "def importing(name, *rest):\n"
        f"    if name == {module!r}:\n"
        "        raise KeyboardInterrupt\n"
        "    return plain(name, *rest)\n"
        "builtins.__import__ = importing\n"
        "from maskkit.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "interrupted.py"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_script_that_is_installed_is_the_one_that_stands_this():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"maskkit": "maskkit.__main__:main"}
