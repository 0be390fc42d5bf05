"""Backends, exporters and commands of strangers."""

import json


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
    assert json.loads(site.maskkit("doctor", "--json").stdout)["backends"]["lists"] == "available, from a plugin"


def test_a_stranger_adds_an_exporter(site):
    site.add(
        "acme-runs",
        "acme_stretches",
        """
import numpy as np
from maskkit import hookimpl

class Runs:
    name = "stretches"
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
        print(mask.export("stretches", only=3))
        try:
            mask.allowed("stretches")
        except maskkit.ConfigError as error:
            print(error)
    """)
    assert done.stdout.startswith("[[(0, 1)], [(0, 2)], [(1, 3)]]\nunknown backend 'stretches'"), done.stderr


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
    assert site.maskkit("list", "causal").stderr == ""  # our own commands do not ask plugins for theirs
    done = site.maskkit("--help")
    assert done.returncode == 0
    assert "render" in done.stdout
    assert done.stderr.count("\n") == 1
    assert "skipped" in done.stderr
    assert "boom" in done.stderr


def test_two_backends_of_one_name_conflict_whatever_the_order(site):
    source = """
from maskkit import hookimpl

class Lists:
    name = "lists"
    def from_host(self, array, dtype, device):
        return array.tolist()

@hookimpl
def maskkit_backends():
    return [Lists()]
"""
    site.add("zeta-lists", "zeta_lists", source, "backend.lists")
    site.add("acme-lists", "acme_lists", source, "backend.lists")
    code = """
        import maskkit
        try:
            print(maskkit.create("causal", seq_len=1).allowed("lists"))
        except maskkit.ConfigError as error:
            print(error)
    """
    assert site.run(code).stdout.startswith("backend 'lists' is offered by acme_lists and zeta_lists; uninstall one")
    assert site.run(code, MASKKIT_BLOCK="zeta-lists").stdout == "[[True]]\n"
