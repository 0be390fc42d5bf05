"""Files are written whole, or stay as they were."""

import ast
import json
import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import maskkit
from maskkit import outputs
from maskkit.cli import run
from maskkit.configs.files import read
from maskkit.outputs import write_figure, written

ROOT = Path(__file__).parent.parent
SUFFIXES = ("png", "svg", "pdf", "txt", "npy", "npz", "json", "yaml", "yml")


def put(path, text=b"new"):
    with written(path) as file:
        file.write(text)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def umask():
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_a_new_file_has_the_mode_that_open_gives(tmp_path, umask):
    put(tmp_path / "new")
    (tmp_path / "plain").write_bytes(b"")
    assert mode(tmp_path / "new") == mode(tmp_path / "plain") == 0o640


def test_a_file_keeps_its_mode(tmp_path, umask):
    path = tmp_path / "old"
    path.write_bytes(b"old")
    path.chmod(0o604)
    put(path)
    assert (path.read_bytes(), mode(path)) == (b"new", 0o604)


@pytest.mark.parametrize("there", [True, False])
def test_links_are_followed(tmp_path, there):
    (tmp_path / "folder").mkdir()
    if there:
        (tmp_path / "folder" / "file").write_bytes(b"old")
    (tmp_path / "link").symlink_to(Path("folder") / "file")
    put(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"


@pytest.mark.parametrize("fault", [KeyboardInterrupt, ValueError, MemoryError, OSError(28, "No space left on device")])
def test_what_fails_half_way_leaves_what_was_there(tmp_path, fault):
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "none"):
        with pytest.raises(BaseException), written(tmp_path / name) as file:  # noqa: B017, PT011, PT012
            file.write(b"half")
            raise fault
    assert (tmp_path / "old").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("name", "cause"), [("no/such", FileNotFoundError), (".", IsADirectoryError), ("file/x", NotADirectoryError)]
)
def test_errors_name_the_file_that_was_asked_for(tmp_path, name, cause):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(cause) as error:
        put(tmp_path / name)
    assert error.value.filename == str(tmp_path / name)
    with pytest.raises(OSError, match="odd") as error, written(tmp_path / "x"):
        raise OSError("odd")  # as NumPy raises it, without a number
    assert error.value.filename == str(tmp_path / "x")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to everything")
def test_a_file_that_may_not_be_written_to_is_not_replaced(tmp_path):
    (tmp_path / "old").write_bytes(b"old")
    (tmp_path / "old").chmod(0o444)
    with pytest.raises(PermissionError):
        put(tmp_path / "old")
    assert (tmp_path / "old").read_bytes() == b"old"


def test_pipes_are_written_straight(tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe.npy").read_bytes()))
    reader.start()
    maskkit.create("causal", seq_len=4).save(tmp_path / "pipe.npy")
    reader.join(10)
    assert got[0].startswith(b"\x93NUMPY")
    assert stat.S_ISFIFO((tmp_path / "pipe.npy").stat().st_mode)


def test_figures_have_the_format_of_the_suffix(tmp_path):
    drawn = maskkit.create("causal", seq_len=4).plot().figure
    for name, begin in (("a.PNG", b"\x89PNG"), ("a.pdf", b"%PDF"), ("plain.png", b"\x89PNG"), ("a.svg", b"<?xml")):
        write_figure(tmp_path / name, drawn)
        assert (tmp_path / name).read_bytes().startswith(begin)
    write_figure(tmp_path / "plain", drawn)
    assert (tmp_path / "plain.png").exists()
    assert not (tmp_path / "plain").exists()


# -- what writes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_interrupt_leaves_the_file_that_was_there(tmp_path, monkeypatch, suffix):
    """Whatever is written, when half of it is out."""
    path = tmp_path / f"mask.{suffix}"
    path.write_bytes(b"old")

    def half(file, data):
        outputs.BufferedWriter.write(file, bytes(data)[: len(bytes(data)) // 2])
        file.flush()
        raise KeyboardInterrupt

    monkeypatch.setattr(outputs._File, "write", half)
    assert run(["render", "causal", "--seq-len", "6", "-o", str(path)]) == 130
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_disk_that_fills_up_leaves_the_file_that_was_there(tmp_path, capsys, suffix):
    """The message names the file, and the cause, which NumPy and matplotlib's pdf lose."""
    import resource

    path, (soft, hard) = tmp_path / f"mask.{suffix}", resource.getrlimit(resource.RLIMIT_FSIZE)
    path.write_bytes(b"old")
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, hard))
    try:
        code = run(["render", "random", "--seed", "3", "--seq-len", "40", "-o", str(path)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, capsys.readouterr().err) == (1, f"maskkit: {path}: File too large\n")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


WRITES = re.compile(
    r"(.*\.)?(savefig|write_text|write_bytes|savez|savez_compressed|tofile)|(np|numpy|torch)\.save|(json|pickle)\.dump"
)


def writes(call):
    """Whether a call writes to a file."""
    arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
    modes = [argument.value for argument in arguments if isinstance(argument, ast.Constant)]
    name = ast.unparse(call.func)
    opens = name.rpartition(".")[2] == "open" and any(set("wax+") & set(str(mode)) for mode in modes)
    return opens or WRITES.fullmatch(name) is not None


def test_all_that_writes_goes_through_here():
    """In the core and its plugins, but for what a kit writes for its own tests."""
    for path in [*ROOT.glob("maskkit/**/*.py"), *ROOT.glob("plugins/*/*/maskkit_*/**/*.py")]:
        if path.name == "outputs.py" or "testing" in path.parts:
            continue
        nodes = list(ast.walk(ast.parse(path.read_text())))
        blocks = [n for n in nodes if isinstance(n, ast.With) and ast.unparse(n.items[0]).startswith("written(")]
        inside = {id(node) for block in blocks for node in ast.walk(block)}
        for call in (node for node in nodes if isinstance(node, ast.Call) and id(node) not in inside):
            assert not writes(call), f"{path}, line {call.lineno}"


# -- what was written -------------------------------------------------------------------------------------------------

MASKS = {
    "single": maskkit.create("causal", seq_len=5),
    "composed": maskkit.parse("causal & ~banded(band_width=3) | random(mask_probability=1e-5, seed=7)", seq_len=6),
    "array": maskkit.from_array(np.tri(4, dtype=bool), true="blocked"),
    "view": maskkit.create("causal", seq_len=9)[2:5, ::2],
    "batch": maskkit.create("document", ids=np.array([[0, 0, 1], [0, 1, 1]], np.int16))
    & maskkit.parse("causal", seq_len=3),
}


@pytest.mark.parametrize("suffix", ["json", "yaml", "yml"])
@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
def test_saved_masks_load(tmp_path, mask, suffix):
    mask.save(tmp_path / f"mask.{suffix}")
    assert maskkit.load(tmp_path / f"mask.{suffix}") == mask
    mask.save(tmp_path / f"mask.{suffix}", blocked=True)
    assert maskkit.load(tmp_path / f"mask.{suffix}") == ~mask


@pytest.mark.parametrize("suffix", ["json", "yaml"])
@pytest.mark.parametrize("name", [*maskkit.names("mask"), *maskkit.names("strategy")])
def test_every_config_that_has_a_picture_is_saved(tmp_path, name, suffix):
    """By `render -o`, and `render` reads it again; strategies with the seed that was drawn."""
    kind = "mask" if name in maskkit.names("mask") else "strategy"
    config = maskkit.config(name, kind=kind, **maskkit.info(name, kind=kind).example)
    first, again = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    first.write_text(json.dumps(maskkit.to_dict(config)))  # which is YAML too
    assert run(["render", str(first), "-o", str(again)]) == 0
    assert maskkit.to_dict(maskkit.config(read(again))) == maskkit.to_dict(config)


def test_yaml_of_one_list_twice_has_no_alias(tmp_path):
    """Readers count what aliases stand for."""
    ids = [0, 0, 1]
    mask = maskkit.create("document", ids=ids, key_ids=ids)
    mask.save(tmp_path / "m.yaml")
    assert "&" not in (tmp_path / "m.yaml").read_text()
    assert maskkit.load(tmp_path / "m.yaml") == mask


def test_save_writes_pictures_and_arrays(tmp_path):
    mask = maskkit.create("causal", seq_len=5)
    for suffix in SUFFIXES:
        mask.save(str(tmp_path / f"m.{suffix}"))
    assert np.array_equal(np.load(tmp_path / "m.npy"), mask)
    assert (tmp_path / "m.txt").read_text() == mask.text() + "\n"
    with pytest.raises(maskkit.ConfigError, match=r"unknown suffix '.gif'; use one of .png, .svg"):
        mask.save(tmp_path / "m.gif")


def test_a_killed_process_leaves_the_file_that_was_there(tmp_path):
    """The same for a real interrupt."""
    path = tmp_path / "m.npz"
    path.write_bytes(b"old")
    slow = (
        "import os, signal, sys, numpy as np\n"
        "from maskkit import outputs\n"
        "from maskkit.cli import run\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # ignored in the background of a shell
        "write = outputs._File.write\n"
        "def slowly(file, data):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    return write(file, data)\n"
        "outputs._File.write = slowly\n"
        f"sys.exit(run(['render', 'causal', '--seq-len', '9', '-o', {str(path)!r}]))\n"
    )
    done = subprocess.run([sys.executable, "-c", slow], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_too_deep_to_be_saved_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(maskkit.limits, "depth", 1000)
    mask = maskkit.create("causal", seq_len=4)
    for i in range(400):
        other = maskkit.create("banded", seq_len=4, band_width=2 * i + 1)
        mask = mask ^ other if i % 2 else mask & other
    with pytest.raises(maskkit.ConfigError, match=r"m.json: what is to be saved is nested too deeply"):
        mask.save(tmp_path / "m.json")
    assert not list(tmp_path.iterdir())
