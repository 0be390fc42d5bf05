"""Foreign plugins, good and bad, each in an interpreter of its own: discovered, isolated, reported."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

GOOD = """
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive

@frozen(kw_only=True)
class Stripes(AttentionMask):
    '''Every other key.

    Attributes:
        seq_len: number of tokens.
    '''
    name = "stripes"
    samples = (dict(seq_len=4),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return (q * 0 + k) % 2 == 0

@hookimpl
def maskkit_masks():
    return [Stripes]
"""


class Site:
    """A folder of installed distributions, made by hand."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, distribution: str, module: str, source: str | None, *points: str, version: str = "1.0") -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: from {distribution}\n"
        )
        (info / "entry_points.txt").write_text("[maskkit]\n" + "".join(f"{p} = {module}\n" for p in points))
        if source is not None:
            (self.folder / f"{module}.py").write_text(source)

    def run(self, code: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.folder), **env},
            check=False,
        )

    def maskkit(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        return self.run(f"from maskkit.cli import main; main({list(args)!r})", **env)

    def error_of(self, name: str, **env: str) -> str:
        """Class and message of what `create(name, seq_len=4)` raises."""
        code = f"""
            import maskkit
            try:
                maskkit.create({name!r}, seq_len=4)
            except Exception as error:
                print(type(error).__name__, '|', error, '|', repr(error.__cause__))
        """
        done = self.run(code, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_foreign_plugin_is_discovered(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    done = site.maskkit("list", "str*")
    assert "stripes" in done.stdout
    assert "from acme-stripes" in done.stdout
    assert site.maskkit("render", "stripes", "--seq-len", "4").stdout == "┌────┐\n│█ █ │\n│█ █ │\n└────┘\n"


def test_listing_imports_no_plugin(site):
    site.add("acme-stripes", "acme_stripes", "raise SystemExit('imported')", "mask.stripes")
    done = site.maskkit("list")
    assert done.returncode == 0
    assert "stripes" in done.stdout


def test_creating_imports_that_one_plugin(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    site.add("acme-other", "acme_other", "raise RuntimeError('not me')", "mask.other")
    done = site.run("""
        import sys, maskkit
        maskkit.create("stripes", seq_len=4)
        print([m for m in sys.modules if m.startswith(("acme", "maskkit_"))])
    """)
    assert done.stdout.strip() == "['acme_stripes']"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "has no maskkit_masks"),
        (GOOD.replace("@hookimpl", ""), "has no maskkit_masks"),
        (GOOD.replace("return [Stripes]", "return 3"), "returned 3; it must return a list"),
        (GOOD.replace("return [Stripes]", "return None"), "returned None"),
        (GOOD.replace("return [Stripes]", "return ['stripes']"), "not a class that derives"),
        (GOOD.replace("return [Stripes]", "return [Stripes(seq_len=3)]"), "not a class that derives"),
        (GOOD.replace("return [Stripes]", "return []"), "offers nothing named 'stripes'"),
        (GOOD.replace("return [Stripes]", "raise KeyError('x')"), "KeyError: 'x'"),
        (GOOD.replace('name = "stripes"', 'name = "stripe"'), "offers nothing named 'stripes'"),
        (GOOD.replace("@frozen(kw_only=True)", ""), "not decorated with @attrs.frozen"),
        (GOOD.replace("def maskkit_masks()", "def maskkit_masks(extra)"), "extra"),
        (None, "No module named 'acme_stripes'"),
    ],
)
def test_a_broken_plugin_takes_nobody_down(site, source, why):
    """Asking for it re-raises with the cause; everybody else goes on; the doctor knows."""
    site.add("acme-stripes", "acme_stripes", source, "mask.stripes")
    error = site.error_of("stripes")
    assert error.startswith("BrokenPlugin | plugin mask.stripes of acme-stripes 1.0 is broken: ")
    assert why in error
    assert "pip uninstall acme-stripes, or MASKKIT_BLOCK=mask.stripes" in error
    assert site.maskkit("render", "causal", "--seq-len", "2").returncode == 0
    doctor = site.maskkit("doctor")
    assert doctor.returncode == 1
    assert "mask.stripes is broken" in doctor.stdout
    assert why in doctor.stdout
    listed = site.maskkit("list", "stripes", "--check").stdout
    assert "broken" in listed


def test_a_missing_module_shows_as_broken_in_a_plain_list(site):
    site.add("acme-stripes", "acme_stripes", None, "mask.stripes")
    assert "broken" in site.maskkit("list", "stripes").stdout


def test_the_cause_of_a_broken_plugin_is_chained(site):
    site.add("acme-stripes", "acme_stripes", "raise RuntimeError('boom')", "mask.stripes")
    assert "RuntimeError('boom')" in site.error_of("stripes").splitlines()[-1]
    line = site.maskkit("render", "stripes")
    assert line.returncode == 1
    assert line.stderr.count("\n") == 1
    assert "RuntimeError: boom" in line.stderr
    debug = site.maskkit("--debug", "render", "stripes").stderr
    assert "Traceback" in debug


def test_two_plugins_with_one_name_conflict_whatever_the_order(site):
    for distribution, module in (("zeta-masks", "zeta_masks"), ("acme-stripes", "acme_stripes")):
        site.add(distribution, module, GOOD, "mask.stripes")
    error = site.error_of("stripes")
    assert "acme-stripes 1.0 and zeta-masks 1.0" in error
    assert "MASKKIT_BLOCK=" in error
    assert error.startswith("ConfigError")
    listed = site.maskkit("list", "stripes").stdout
    assert listed.count("conflict") == 2
    assert site.maskkit("doctor").returncode == 1
    assert site.error_of("stripes", MASKKIT_BLOCK="zeta-masks") == ""


def test_one_name_in_two_kinds_is_ambiguous(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    site.add("acme-layers", "acme_layers", "", "attention.stripes")
    error = site.error_of("stripes")
    assert "attention.stripes" in error
    assert "mask.stripes" in error
    assert "full name" in error
    assert site.error_of("mask.stripes") == ""


@pytest.mark.parametrize("block", ["mask.stripes", "acme-stripes", "Acme_Stripes", "x,mask.stripes", "*"])
def test_blocking_switches_off(site, block):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    error = site.error_of("stripes", MASKKIT_BLOCK=block)
    assert "acme-stripes offers it, but MASKKIT_BLOCK switches it off" in error
    assert "blocked" in site.maskkit("list", "stripes", MASKKIT_BLOCK=block).stdout


def test_allowing_some_switches_off_the_others_and_blocking_wins(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    assert site.error_of("stripes", MASKKIT_PLUGINS="acme-stripes") == ""
    assert "MASKKIT_PLUGINS switches it off" in site.error_of("causal", MASKKIT_PLUGINS="acme-stripes")
    assert "switches it off" in site.error_of("stripes", MASKKIT_PLUGINS="")
    both = site.error_of("stripes", MASKKIT_PLUGINS="acme-stripes", MASKKIT_BLOCK="mask.stripes")
    assert "MASKKIT_BLOCK switches it off" in both


def test_a_stranger_adds_a_backend(site):
    """A backend joins through its hook; without a kind in its entry point, it is loaded when asked for."""
    site.add(
        "acme-lists",
        "acme_lists",
        """
from maskkit import hookimpl

class Lists:
    name = "lists"
    def from_host(self, array, dtype, device):
        return array.tolist()
    def arange(self, size, device): ...
    def where(self, allowed, shape, on, off, dtype): ...
    def like(self, table, other): ...

@hookimpl
def maskkit_backends():
    return [Lists()]
""",
        "acme-lists",
    )
    done = site.run("""
        import maskkit
        mask = maskkit.create("causal", seq_len=2)
        print(mask.allowed("lists"), mask.bias(backend="lists"))
    """)
    assert done.stdout == "[[True, False], [True, True]] [[0.0, -inf], [0.0, 0.0]]\n", done.stderr
    assert "lists        available, from a plugin" in site.maskkit("doctor").stdout


def test_a_stranger_adds_an_exporter(site):
    site.add(
        "acme-runs",
        "acme_runs",
        """
import numpy as np
from maskkit import hookimpl

class Runs:
    name = "runs"
    def export(self, mask, only=None):
        spans = mask.spans(np.arange(mask.shape[0])).within(mask.shape[1])
        return [spans.row(q) for q in range(mask.shape[0])][:only]

@hookimpl
def maskkit_backends():
    return [Runs()]
""",
        "acme-runs",
    )
    done = site.run("""
        import maskkit
        mask = maskkit.create("sliding_window", seq_len=4, window_size=2)
        print(mask.export("runs", only=3))
        try:
            mask.allowed("runs")
        except maskkit.ConfigError as error:
            print(error)
    """)
    assert done.stdout.startswith("[[(0, 1)], [(0, 2)], [(1, 3)]]\nunknown backend 'runs'"), done.stderr


def test_a_stranger_adds_a_command(site):
    site.add(
        "acme-hello",
        "acme_hello",
        """
import typer
from maskkit import hookimpl

app = typer.Typer()

@app.command()
def hello():
    print("hello from acme")

@hookimpl
def maskkit_commands():
    return [app]
""",
        "acme-hello",
    )
    assert site.maskkit("hello").stdout == "hello from acme\n"


def test_a_broken_command_plugin_is_one_warning(site):
    site.add("acme-hello", "acme_hello", "raise RuntimeError('boom')", "acme-hello")
    done = site.maskkit("list", "causal")
    assert done.returncode == 0
    assert "causal" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "skipped" in done.stderr
    assert "boom" in done.stderr
