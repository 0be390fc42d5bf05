"""No plugin takes others down: whatever one is or does, it is one line about that plugin, and all else works."""

import json
import os
import pty
import subprocess
import sys

import pytest
from foreign import GOOD, Site


def named(name):
    return GOOD.replace('"stripes"', f'"{name}"')


BAD = {
    # what it says of itself: metadata, entry points
    "latin": (b"Metadata-Version: 2.1\nName: latin\nVersion: 1\nSummary: caf\xe9\n", "METADATA cannot be read"),
    "nameless": (b"Metadata-Version: 2.1\nVersion: 1\n", "METADATA has no Name"),
    "hollow": (None, "METADATA"),
    "shouting": ("!!!", "its entry_points.txt says '!!!' where a module must stand"),
    "empty": ("", "its entry_points.txt says '' where a module must stand"),
    "nested": ("..", "its entry_points.txt says '..' where a module must stand"),
    # what it does when it is imported
    "generator": ("raise GeneratorExit", "GeneratorExit"),
    "panic": ("class Panic(BaseException): pass\nraise Panic('in Rust')", "Panic: in Rust"),
    "interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "leaving": ("import sys; sys.exit('bye')", "SystemExit: bye"),
    "exiting": ("import os; os._exit(3)", "it ends the process that loads it (exit code 3)"),
    "crashing": ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "(SIGSEGV)"),
    "hanging": ("import time; time.sleep(1000)", "it does not load within 8 seconds"),
    "asking": ("input('a key, please')", "EOFError"),
    "escaping": (r"raise RuntimeError('\x1b]0;owned\x07\nred')", r"RuntimeError: \x1b]0;owned\x07 red ("),
    # what it offers
    "aliases": (named("aliases").replace("samples =", "aliases = 5; samples ="), "Stripes.aliases must be a mapping"),
    "samples": (
        named("samples").replace("(dict(seq_len=4),)", "(5,)"),
        "Stripes.samples must be a tuple of parameters, such as (dict(seq_len=16),), got (5,)",
    ),
    "period": (named("period").replace("samples =", "period = 1.0; samples ="), "Stripes.period must be an integer"),
    "listed": (named("listed").replace("samples =", "shape = [4, 4]; samples ="), "Stripes.shape must be a tuple of"),
    "nothing": (named("nothing").replace("samples =", "shape = (0, 4); samples ="), "got (0, 4)"),
}
"""By name: METADATA as bytes, a value of its entry point, or the source of its module; and what the doctor says."""

NOISY = {
    "printing": "print('HELLO')\n" + named("printing"),
    "writing": "import os; os.write(1, b'HELLO')\n" + named("writing"),
    "closing": "import sys; sys.stdout.close()\n" + named("closing"),
    "shutting": "import os; os.close(1)\n" + named("shutting"),
    "threading": "import threading, time; threading.Thread(target=time.sleep, args=(1000,)).start()\n"
    + named("threading"),
}
"""These work."""


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """All of them installed."""
    site = Site(tmp_path_factory.mktemp("crowd"))
    for name, (what, _) in BAD.items():
        if not isinstance(what, str):
            site.add_raw(f"{name}-1.dist-info", what, f"[maskkit]\nmask.{name} = {name}\n".encode())
        elif len(what) < 4:
            site.add(name, what, None, f"mask.{name}")
        else:
            site.add(name, f"acme_{name}", what, f"mask.{name}")
    for name, source in NOISY.items():
        site.add(name, f"acme_{name}", source, f"mask.{name}")
    return site


@pytest.fixture(scope="module")
def report(crowd):
    done = crowd.maskkit("doctor", "--json", "--limit", "8")
    assert done.returncode == 1
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", BAD)
def test_the_doctor_says_what_is_wrong_in_a_line(report, name):
    [row] = [row for row in report["plugins"] if row["name"] == name]
    assert row["status"] == "broken"
    assert row["why"].startswith(f"plugin mask.{name} of {name} ")
    assert row["why"].endswith(f"(pip uninstall {name}, or MASKKIT_BLOCK=mask.{name})")
    assert BAD[name][1] in row["why"]
    assert row["why"].isprintable()


def test_all_others_load(report):
    assert {row["name"] for row in report["plugins"] if row["status"] != "loaded"} == set(BAD)
    assert report["verdict"].startswith(f"{len(BAD)} of {len(report['plugins'])} plugins are broken: ")


@pytest.mark.parametrize("args", [["list", "c*"], ["render", "causal", "--seq-len", "2"], ["show", "causal"]])
def test_every_command_works_beside_them(crowd, args):
    done = crowd.maskkit(*args)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_a_list_of_entry_points_that_cannot_be_read_is_told_too(site):
    site.add_raw("garbled-1.dist-info", b"Name: garbled\nVersion: 1\n", b"[maskkit]\nmask.x\xe9 = garbled\n")
    site.add_raw("halved-1.dist-info", b"Name: halved\nVersion: 1\n", b"[maskkit]\nmask.x\n")
    site.add_raw("others-1.dist-info", b"Name: others\nVersion: 1\n", b"[others]\nnot ours\n")
    assert site.error_of("causal") == ""
    report = site.maskkit("doctor", "--json").stdout
    broken = [row["why"] for row in json.loads(report)["plugins"] if row["status"] == "broken"]
    assert [why.partition(" (pip")[0] for why in broken] == [
        f"plugin {name} of {name} 1 is broken: its entry_points.txt cannot be read" for name in ("garbled", "halved")
    ]


# -- prints -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["printing", "closing"])
def test_what_a_plugin_prints_on_import_is_not_the_output(crowd, name):
    done = crowd.maskkit("stats", name, "--seq-len", "4", "--json")
    assert json.loads(done.stdout)["allowed"] == 8
    assert done.stderr == ("HELLO\n" if name == "printing" else "")
    done = crowd.maskkit("list", "*ing", "--check", "--json", MASKKIT_PLUGINS="printing,writing,closing,shutting")
    found = {row["name"]: row["status"] for row in json.loads(done.stdout) if row["status"] != "blocked"}
    assert found == dict.fromkeys(("printing", "writing", "closing", "shutting"), "loaded")


def test_stdout_is_as_it_was_after_a_plugin_has_loaded(crowd):
    code = "import maskkit, sys; maskkit.create('printing', seq_len=4); print(sys.stdout is sys.__stdout__)"
    assert crowd.run(code).stdout == "True\n"


# -- text is text -----------------------------------------------------------------------------------------------------


def on_a_terminal(site, *args):
    """What `maskkit` writes to one."""
    main, child = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(site.folder), "TERM": "xterm-256color", "COLUMNS": "100"}
    done = subprocess.run([sys.executable, "-m", "maskkit", *args], stdout=child, env=env, check=False)
    os.close(child)
    shown = os.read(main, 20_000).decode()
    os.close(main)
    return done.returncode, shown.replace("\r\n", "\n")


@pytest.mark.parametrize("args", [["list", "stripes"], ["list", "stripes", "--long"], ["list", "stripes", "--check"]])
def test_what_a_stranger_says_is_neither_markup_nor_control(site, args):
    said = "sees [batch] and [/bold] :smile: \x1b]0;owned\x07\x1b[31m \x9b5n"
    site.add_raw(
        "acme-1.dist-info",
        f"Name: acme\nVersion: 1\x1b[2J\nSummary: {said}\n".encode(),
        b"[maskkit]\nmask.stripes = acme\n",
    )
    code, shown = on_a_terminal(site, *args)
    assert code == 0
    assert "sees [batch] and [/bold] :smile:" in shown
    for raw in ("\x1b]0;", "\x07", "\x1b[31m ", "\x9b", "\x1b[2J"):
        assert raw not in shown


def test_a_docstring_is_neither_markup_nor_control(site):
    source = GOOD.replace("Every other key.", r"Every [/bold] \x1b[2J key.").replace("number of", r"[red]\x1b[31m of")
    site.add("acme", "acme", source, "mask.stripes")
    code, shown = on_a_terminal(site, "show", "stripes")
    assert code == 0
    assert r"Every [/bold] \x1b[2J key" in shown
    assert r"[red]\x1b[31m of" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[31m" not in shown


# -- kinds that are misspelt or forgotten -----------------------------------------------------------------------------


@pytest.mark.parametrize("point", ["masks.stripes", "stripes"])
def test_the_doctor_finds_items_that_nobody_can_ask_for(site, point):
    site.add("acme", "acme_stripes", GOOD, point)
    doctor = site.maskkit("doctor")
    assert doctor.returncode == 1
    assert (
        f"plugin {point} of acme 1.0 is broken: no kind stands before its name, so it is never found; "
        'write "mask.stripes" = "acme_stripes" (pip' in doctor.stdout
    )
    error = site.error_of("stripes")
    assert f"there is {point} of acme, whose entry point begins with no kind; maskkit doctor tells what" in error
    line = f"{point} of acme: no kind is called so; see maskkit doctor\n" if "." in point else ""
    assert site.maskkit("list").stderr == line


def test_a_module_without_a_kind_may_name_its_items_elsewhere(site):
    site.add("acme", "acme_stripes", GOOD, "mask.stripes", "acme")
    assert site.maskkit("doctor").returncode == 0


def test_a_module_that_offers_nothing_is_told(site):
    site.add("acme", "acme_stripes", "", "acme")
    words = "it has no maskkit_backends and no maskkit_commands marked with @maskkit.hookimpl"
    assert words in site.maskkit("doctor").stdout


# -- what else must stay as it is -------------------------------------------------------------------------------------


def test_threads_that_load_at_once_get_the_same_classes(tmp_path):
    """Sixteen threads, which take turns as often as can be, ask for every mask for the first time."""
    code = """
        import importlib, sys, threading
        import maskkit
        from maskkit.registry.loader import registry
        from maskkit.registry.catalog import items
        chosen = [entry for entry in items() if entry.kind == "mask"]
        for entry in chosen:
            importlib.import_module(entry.entry_point.module)
        sys.setswitchinterval(1e-6)
        barrier, found = threading.Barrier(16), {entry.full_name: set() for entry in chosen}
        def ask():
            for name in found:
                barrier.wait()
                try:
                    found[name].add(registry.find(name))
                except Exception as error:
                    found[name].add(repr(error))
        threads = [threading.Thread(target=ask) for _ in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print({name: some for name, some in found.items() if len(some) != 1})
        print([registry.status(entry) for entry in chosen if registry.status(entry)[0] != "loaded"])
    """
    assert Site(tmp_path).run(code).stdout == "{}\n[]\n"


def test_who_imports_a_module_and_who_asks_for_its_item_do_not_wait_for_each_other(site):
    site.add(
        "acme",
        "acme_app",
        "import time, maskkit; time.sleep(0.3); maskkit.create('causal', seq_len=2)" + GOOD,
        "mask.stripes",
    )
    code = """
        import threading, maskkit
        threads = [
            threading.Thread(target=__import__, args=("acme_app",), daemon=True),
            threading.Thread(target=lambda: print(maskkit.create("stripes", seq_len=4)), daemon=True),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        print([thread.is_alive() for thread in threads])
    """
    assert site.run(code).stdout == "Stripes(seq_len=4)\n[False, False]\n"


def test_a_failure_that_is_over_is_forgotten(site):
    site.add("acme", "acme_late", "import os; os.environ['READY']\n" + GOOD, "mask.stripes")
    code = """
        import os, maskkit
        from maskkit.registry.loader import registry
        for _ in range(2):
            try:
                print(maskkit.create("stripes", seq_len=4))
            except maskkit.BrokenPlugin:
                os.environ["READY"] = "1"
            print(registry.status(registry.entry("mask.stripes"))[0])
    """
    assert site.run(code).stdout == "broken\nStripes(seq_len=4)\nloaded\n"


@pytest.mark.parametrize("first", ["", "numpy.random, "])
def test_a_plugin_that_seeds_leaves_the_draws_of_others_alone(site, first):
    source = "import random, numpy as np; np.random.seed(0); random.seed(0)\n" + GOOD
    site.add("acme", "acme_seeds", source, "mask.stripes")
    code = f"""
        import {first}maskkit, random
        maskkit.create("stripes", seq_len=4)
        import numpy as np
        print(np.random.random(), random.random())
    """
    assert site.run(code).stdout != site.run(code).stdout


@pytest.mark.parametrize("shape", ["[self.seq_len] * 2", "(self.seq_len, 0)", "(self.seq_len, 4.0)", "self.seq_len"])
def test_a_shape_that_is_none_is_told_where_the_mask_is_made(site, shape):
    source = GOOD.replace("    def allows", f"    shape = property(lambda self: {shape})\n\n    def allows")
    site.add("acme", "acme_shape", source, "mask.stripes")
    assert "stripes mask: its shape must be a tuple of positive integers, got " in site.error_of("stripes")
