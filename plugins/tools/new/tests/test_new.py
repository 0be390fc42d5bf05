"""`maskkit new` makes plugins that install, pass their tests, list, draw and are documented as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from maskkit_new import _command as new
import maskkit
from maskkit.cli import run

ROOT = Path(__file__).parents[4]
KINDS = list(new.KINDS)
ITEMS = {kind: f"{new.KINDS[kind].point}.my_{kind}" for kind in KINDS}


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """One of every kind, in a folder."""
    folder = tmp_path_factory.mktemp("plugins")
    for kind in KINDS:
        new.new(kind, f"my_{kind}", folder)
    return folder


@pytest.fixture(scope="module")
def site(plugins, tmp_path_factory):
    """An environment in which they are installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), *map(str, plugins.iterdir())], check=True)
    return {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "80"}


def python(env, *args, cwd=None):
    done = subprocess.run([sys.executable, *args], capture_output=True, text=True, env=env, cwd=cwd, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# -- what is made -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_tests_of_every_template_pass(plugins, site):
    names = [str(plugins / f"my_{kind}") for kind in KINDS]
    out = python(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib", *names, cwd=plugins)
    assert "11 passed" in out, out


@pytest.mark.slow
def test_the_readme_of_every_template_is_true(plugins, site):
    """Its snippets run, one after the other, and what is drawn is what it shows."""
    code = ""
    for kind in KINDS:
        text = (plugins / f"my_{kind}" / "README.md").read_text()
        blocks = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        assert blocks, f"the README of {kind} shows no code"
        code += "\n".join(blocks)
    python({**site, "KERAS_BACKEND": "torch"}, "-W", "ignore", "-c", code)
    text = (plugins / "my_mask/README.md").read_text()
    [(options, drawn)] = re.findall(r"^```console\n\$ maskkit (.*?)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert python(site, "-m", "maskkit", *options.split()) == drawn


def test_every_template_is_listed(site):
    listed = python(site, "-m", "maskkit", "list", "my_*", "--json")
    assert all(f'"{ITEMS[kind]}"' in listed for kind in KINDS if kind != "exporter")


def test_every_template_keeps_our_style(plugins):
    """`hookimpl`s and methods of the contract say nothing new, as in our own plugins."""
    ruff = [sys.executable, "-m", "ruff"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    subprocess.run([*ruff, "check", "--quiet", *config, "--ignore", "D102,D103", str(plugins)], check=True)
    subprocess.run([*ruff, "format", "--quiet", "--check", *config, str(plugins)], check=True)


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_has_the_shape_of_our_own_plugins(plugins, kind):
    """Nothing is left of the template's words, and a page and a contract are named for its author."""
    texts = [path.read_text() for path in (plugins / f"my_{kind}").rglob("*.*") if path.is_file()]
    assert not [text for text in texts if "$" in text.replace("$ maskkit", "")]
    readme = (ROOT / "plugins/tools/new/README.md").read_text()
    [page] = re.findall(rf"^\| `{kind}` \| \[(.*?)\]", readme, re.MULTILINE)
    assert (ROOT / "docs" / page).exists()


def test_the_command_says_what_to_do_next(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["new", "mask", "mine"]) == 0
    said = capsys.readouterr().out
    assert said in (ROOT / "plugins/tools/new/README.md").read_text()
    assert sorted(path.name for path in tmp_path.glob("mine/*")) == re.findall(r"wrote mine/(.*)", said)


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("mask", "Mine", "lower case letters, .* got 'Mine'; give one, such as 'mine'"),
        ("mask", "myMask", "such as 'my_mask'"),
        ("mask", "my-mask", "such as 'my_mask'"),
        ("mask", "2d", "got '2d'; give one, such as 'd'"),
        ("mask", "_mine", "such as 'mine'"),
        ("mask", "my__mask", "such as 'my_mask'"),
        ("mask", "../mine", "such as 'mine'"),
        ("mask", "", "got ''; give one$"),
        ("mask", "mine\n", "such as 'mine'"),
        ("mask", "class", "'class' means something else already; .* such as 'my_class'"),
        ("mask", "kit", "'kit' means something else"),
        ("mask", "causal", "mask 'causal' is offered by maskkit-mask-causal; choose another name, such as 'my_causal'"),
        ("attention", "reflect", "offered by maskkit-attention-reflect"),
        ("strategy", "ijepa", "offered by maskkit-jepa-ijepa"),
        ("kernel", "dense", "offered by maskkit-kernel-dense"),
        ("exporter", "runs", "offered by maskkit-runs"),
        ("exporter", "flex", "'flex' is a form that maskkit has"),
        ("exporter", "keras", "'keras' means something else"),
        ("exporter", "new", "there is a module maskkit_new already"),
        ("kernel", "cost", "'cost' would hide maskkit's own Cost"),
        ("mask", "attention_mask", "'attention_mask' would hide maskkit's own AttentionMask"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_written(tmp_path, kind, name, words):
    with pytest.raises(maskkit.ConfigError, match=words):
        new.new(kind, name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(maskkit.ConfigError, match="mine is there already; choose another name, or another --dir"):
        new.new("mask", "mine", tmp_path)
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]
    (tmp_path / "linked").symlink_to("nowhere")
    with pytest.raises(maskkit.ConfigError, match="linked is there already"):
        new.new("mask", "linked", tmp_path)


def test_a_folder_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    written = new.written

    def full(path):
        if path.name.startswith("test_"):
            raise OSError("no space left")
        return written(path)

    monkeypatch.setattr(new, "written", full)
    with pytest.raises(OSError, match="no space left"):
        new.new("mask", "mine", tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["masks", "mine"], 2, "must be one of mask, attention, strategy, kernel, exporter, got 'masks'"),
        (["mask", "mine", "--dir", "nowhere"], 1, "there is no folder nowhere; make it, or choose another --dir"),
        (["mask"], 2, "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line(tmp_path, monkeypatch, capsys, args, code, words):
    monkeypatch.chdir(tmp_path)
    assert run(["new", *args]) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())
