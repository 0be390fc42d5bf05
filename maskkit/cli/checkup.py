"""Plugins, each loaded in a process that may hang, crash or end with it, and what became of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from queue import Empty, Queue
from threading import Thread
from typing import IO, Any

from maskkit.registry.catalog import Entry, broken_text, entries

LIMIT = 20.0
"""Seconds that a plugin may take to load."""
_HEAVY = {"jax", "keras", "matplotlib", "tensorflow", "torch"}
_CHILD = """
import json, sys
sys.path[:], wanted = json.loads(sys.argv[1])
from maskkit.cli.checkup import report
report(wanted)
"""


def examine(chosen: Sequence[Entry], limit: float = LIMIT) -> list[dict[str, Any]]:
    """What becomes of each plugin: status, why, milliseconds, the heavy libraries and the backends that it brings.

    One process loads one after the other, and another goes on behind one that ended it.
    """
    found: list[dict[str, Any]] = []
    while len(found) < len(chosen):
        found.extend(_loaded(chosen[len(found) :], limit))
    return found


def _loaded(chosen: Sequence[Entry], limit: float) -> Iterator[dict[str, Any]]:
    """As `examine`, up to the first that ends the process."""
    everything = entries()
    wanted = json.dumps([sys.path, [everything.index(entry) for entry in chosen]])
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD, wanted],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=None if sys.stderr else subprocess.DEVNULL,
        encoding="utf-8",
        start_new_session=True,  # an interruption of the user's is ours alone, and one in there is the plugin's
    )
    lines: Queue[str] = Queue()
    reader = Thread(target=_pass_on, args=(process.stdout, lines), daemon=True)
    reader.start()
    try:
        for entry in chosen:
            try:
                line = lines.get(timeout=limit)
            except Empty:
                yield _broken(entry, f"it does not load within {limit:g} seconds")
                return
            if not line:
                yield _broken(entry, f"it ends the process that loads it ({_ending(process.wait())})")
                return
            yield json.loads(line)
    finally:
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        process.wait()
        reader.join()


def _pass_on(stream: IO[str], lines: Queue[str]) -> None:
    """An empty line is the end."""
    with stream:
        for line in stream:
            lines.put(line)
    lines.put("")


def _broken(entry: Entry, why: str) -> dict[str, Any]:
    return {
        "status": "broken",
        "why": broken_text(entry, why),
        "milliseconds": 0.0,
        "heavy": "",
        "backends": [],
    }


def _ending(code: int) -> str:
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"exit code {code}"


# -- in the other process ---------------------------------------------------------------------------------------------


def report(wanted: Sequence[int]) -> None:
    """Load these of the entries, a line of JSON for each; stdout is for that alone, and prints go to stderr."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    stderr, everything = os.dup(2), entries()
    for i in wanted:
        for stream in (1, 2):  # whatever the one before closed
            os.dup2(stderr, stream)
        print(json.dumps(_tried(everything[i])), file=out, flush=True)
    os._exit(0)  # threads and exit handlers of plugins are not waited for


def _tried(entry: Entry) -> dict[str, Any]:
    """One plugin, with its time, the heavy libraries that it pulled in and the backends that it gives."""
    from time import perf_counter

    from maskkit.registry.loader import registry

    before, start = set(sys.modules), perf_counter()
    try:
        if not entry.blocked_by:
            registry.try_load(entry)
        status, why = registry.status(entry)
        names = registry.backend_names(entry) if status == "loaded" else []
    except BaseException as error:
        return _broken(entry, f"{type(error).__name__}: {error}")
    spent = perf_counter() - start
    heavy = sorted(_HEAVY & (set(sys.modules) - before))
    found = {"milliseconds": round(1000 * spent, 2), "heavy": " ".join(heavy), "backends": names}
    return {"status": status, "why": why} | found
