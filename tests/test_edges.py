"""3,200 broken inputs, each of which works or is refused by a MaskkitError, soon and in little memory.

Every run tries the same inputs; one that fails is printed.
"""

import gc
import json
import re
import resource
import signal
import sys
import time
from contextlib import contextmanager, suppress
from copy import deepcopy
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
import yaml
from drawn_masks import make, mask_classes
from foreign import GOOD, Site
import maskkit
from maskkit import Mask, MaskkitError, limits

SECONDS, BYTES = 2, 2**30
"""What an input may take of the processor, and of memory beyond what the tests have already."""
LONGEST = 10_000
"""Characters of a message."""
SMALL = 2**12
"""So many pairs of a mask are asked one by one."""

# -- one input --------------------------------------------------------------------------------------------------------


@contextmanager
def bounded(given):
    """Time and memory for one input; what is raised but a MaskkitError fails with the input."""

    def late(*_):
        raise TimeoutError("no answer")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, 20 * SECONDS)
    start = time.process_time()
    try:
        yield
    except MaskkitError as error:
        if len(str(error)) > LONGEST:
            raise AssertionError(f"a message of {len(str(error)):,} characters for {printed(given)}") from error
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nfor {printed(given)}") from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert time.process_time() - start < SECONDS, f"too long for {printed(given)}"


def printed(given):
    digits = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return repr(given)
    finally:
        sys.set_int_max_str_digits(digits)


@pytest.fixture
def little_memory():
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def used(found):
    """A mask that came of it prints, is saved and read again, and its predicate says what its array says."""
    for mask in found if isinstance(found, tuple) else (found,):
        if not isinstance(mask, Mask):
            continue
        repr(mask)
        if np.prod(mask.shape, dtype=object) <= SMALL:
            assert maskkit.from_dict(maskkit.to_dict(mask)) == mask
            dense = np.asarray(mask.allowed())
            mask.stats()
            for index in list(np.ndindex(mask.shape))[:: 1 + dense.size // 32]:
                one = mask.allows(*index)
                assert one == dense[index], (mask, index)
                assert one in (True, False), (mask, index)


# -- sizes that cannot be --------------------------------------------------------------------------------------------

LONG = 10**12
SIZES = {
    "blocks": lambda: maskkit.create("causal", seq_len=LONG).blocks(LONG // 4),
    "blocks of 2**62": lambda: maskkit.create("causal", seq_len=64).blocks(2**62),
    "blocks without spans": lambda: maskkit.create("random", seq_len=2**20, seed=0).blocks(2**20),
    "2**62 tokens": lambda: maskkit.create("causal", seq_len=2**62 - 1),
    "lengths": lambda: maskkit.create("document", lengths=[2**40]),
    "key_lengths": lambda: maskkit.create("document", lengths=[3], key_lengths=[2**40]),
    "random blocks": lambda: maskkit.create("bigbird", seq_len=LONG, seed=0).text(),
    "stats": lambda: maskkit.create("causal", seq_len=LONG).stats(),
    "allowed": lambda: maskkit.create("causal", seq_len=LONG).allowed(),
    "to_flex": lambda: maskkit.create("causal", seq_len=LONG).to_flex(),
    "forms": lambda: maskkit.create("sliding_window", seq_len=LONG, window_size=4).export("?"),
    "slice": lambda: maskkit.create("sliding_window", seq_len=LONG, window_size=4)[-8:, :].stats(),
    "repr": lambda: repr(maskkit.create("causal", seq_len=LONG)),
    "text": lambda: maskkit.create("causal", seq_len=LONG).text(),
    "svg": lambda: maskkit.create("causal", seq_len=LONG).svg(),
}


@pytest.mark.parametrize("size", SIZES)
def test_sizes_that_cannot_be_are_answered_or_refused_at_once(size, little_memory):
    with bounded(size):
        SIZES[size]()


# -- arrays that are none ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "array",
    [
        torch.ones(3, 3, dtype=torch.bool).to_sparse(),
        torch.ones(3, 3, dtype=torch.int64).to_sparse(),
        torch.nested.nested_tensor([torch.ones(3), torch.ones(4)], layout=torch.jagged),
        np.ma.array(np.ones((3, 3), bool), mask=np.eye(3)),
        np.array([[None]]),
        np.ones((3, 3), complex),
        [[True], [True, False]],
        [[2**70]],
        {1, 2},
        None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_no_plain_array_of_booleans_is_refused(array):
    with pytest.raises(maskkit.ConfigError, match="array must be a boolean array, got"):
        maskkit.from_array(array, true="allowed")
    with pytest.raises(maskkit.ConfigError, match=r"ids must be an integer array|document takes either"):
        maskkit.create("document", ids=array)


@pytest.mark.parametrize("ends", [[[[0]]], [[[0]], [[1]], [[2]]]])
def test_intervals_have_two_ends(ends):
    with pytest.raises(maskkit.ConfigError, match="ends must have 2 entries along its first axis"):
        maskkit.from_dict({"intervals": ends, "k_len": 4})


def test_names_and_kinds_are_strings():
    for wrong in (None, 3, [], 16**5000):
        with pytest.raises(maskkit.ConfigError, match="must be a string"):
            maskkit.create(wrong)
    for wrong in (3, []):
        with pytest.raises(maskkit.ConfigError):
            maskkit.create("causal", kind=wrong, seq_len=4)


# -- text -------------------------------------------------------------------------------------------------------------

MASKS = [
    {"type": "causal", "seq_len": 6},
    {"and": [{"type": "causal", "seq_len": 6}, {"not": {"type": "banded", "seq_len": 6, "band_width": 3}}]},
    {"xor": [{"type": "sliding_window", "seq_len": 5, "window_size": 2}, {"type": "causal", "seq_len": 5}]},
    {"type": "document", "ids": [[0, 0, 1, 2], [1, 1, 1, 0]]},
    {"type": "random", "seq_len": 7, "mask_probability": 0.5, "seed": 3},
    {"array": [[True, False], [False, True]], "true": "allowed", "axes": ["query", "key"]},
    {"view": {"type": "causal", "seq_len": 6}, "slices": [[0, 2, 3], [5, -1, 6]]},
    {"pick": {"type": "key_padding", "lengths": [2, 3], "seq_len": 3}, "axis": "batch", "index": 1},
    {"at": {"T": {"type": "causal", "seq_len": 6}}, "query": {"values": [0, 5, -1], "dtype": "int16"}},
    {"stack": [{"type": "causal", "seq_len": 3}, {"type": "banded", "seq_len": 3, "band_width": 1}]}
    | {"axis": "head", "of": [0, 1, 0]},
    {"key_tokens": {"lengths": [1, 2], "seq_len": 3, "padding": "pre"}, "others": 4},
    {"astype": {"intervals": [[[0, 1]], [[2, 2]]], "k_len": 3}, "dtype": "float32"},
    {"type": "query_interaction", "num_queries": 3, "interaction_type": "hierarchical", "hierarchy_levels": [0, 1, 2]},
    {"type": "random_patch", "seed": 1},
]
EXPRESSIONS = [
    "causal(seq_len=6) & ~banded(seq_len=6, band_width=3)",
    "causal(seq_len=5) ^ (mask.causal(seq_len=5) | sliding_window(seq_len=5, window_size=2))",
    "document(ids=[0, 0, 1, 1]) & causal",
    "key_padding(lengths=[2, 3], seq_len=4) & strided(seq_len=4, stride=2)",
]
ODD = [
    *("", " ", "\n", "\t", "\0", "\ufeff", "\u2028", "é", "\x1b[31m", "'", '"', "#", "\\", "\r\n"),
    *(
        "[",
        "]",
        "{",
        "}",
        "(",
        ")",
        ",",
        ":",
        ": ",
        "- ",
        "? ",
        "&a ",
        "*a",
        "<<: *a\n",
        "<<",
        "| ",
        "> ",
        "---\n",
        "%",
    ),
    *("[" * 300, "{" * 300, "(" * 300, "~" * 300, '{"not": ' * 400, "causal & " * 300, "a." * 300, "-" * 300),
    *("!!int ", "!!float ", "!!bool ", "!!set ", "!!map ", "!!timestamp ", "!!binary ", "!!omap ", "!!python/name:os "),
    *("true", "yes", "null", "~", "nan", ".nan", ".inf", "1e999", "-1", "0", "0.5", "010", "1:30", "0x_", "1_0", "1e3"),
    *(str(2**31), str(2**40), str(2**53 - 1), str(2**62), str(10**12), "9" * 5000, "0x" + "f" * 5000),
    *("type", "and", "or", "not", "array", "values", "dtype", "seq_len", "window", "global_local", "object", "uint64"),
    *("2026-13-45", "2026-01-01", "07:32:00", "**{}", "*a,", "lambda: 0", "f'{x}'", "b'x'", "1j", "...", "seq_len=4, "),
]


def mutated(text, random, others):
    """Some characters, or one word, made others."""
    if words := random.randrange(2) and list(re.finditer(r"[\w.]+", text)):
        start, end = random.choice(words).span()
        other = random.choice((random.choice(ODD), *re.findall(r"[\w.]+", random.choice(others))))
        return text[:start] + other + text[end:]
    for _ in range(1 + random.randrange(3)):
        at = random.randrange(len(text) + 1)
        to = min(len(text), at + random.choice((0, 1, 1, 2, 5, 20)))
        piece = random.choice(others)
        start = random.randrange(len(piece) + 1)
        new = random.choice((random.choice(ODD), random.choice(ODD), text[at:to] * 2, piece[start : start + 15], ""))
        text = text[:at] + new + text[to:]
    return text


def as_toml(value):
    """TOML of a mapping, all in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(one)}" for key, one in value.items()) + "}"
    return "[" + ", ".join(map(as_toml, value)) + "]" if isinstance(value, list) else json.dumps(value)


FORMATS = {
    "yaml": lambda mask: yaml.safe_dump(mask, default_flow_style=None),
    "json": json.dumps,
    "toml": lambda mask: "\n".join(f"{json.dumps(key)} = {as_toml(value)}" for key, value in mask.items()),
}


@pytest.mark.parametrize("suffix", FORMATS)
def test_600_broken_files(tmp_path, suffix, little_memory):
    random, path = Random(suffix), tmp_path / f"mask.{suffix}"
    texts = [FORMATS[suffix](mask) for mask in MASKS]
    for text in texts:
        path.write_text(text)
        used(maskkit.load(path))
    for _ in range(600):
        text = mutated(random.choice(texts), random, texts)
        path.write_text(text, newline="")
        with bounded(text):
            used(maskkit.load(path))


def test_600_broken_expressions(little_memory):
    random = Random("expressions")
    for _ in range(600):
        text = mutated(random.choice(EXPRESSIONS), random, EXPRESSIONS)
        with bounded(text):
            used(maskkit.parse(text))


# -- saved forms ------------------------------------------------------------------------------------------------------

VALUES = [
    *(None, True, False, -1, 0, 1, 2, 9, 0.5, float("nan"), float("inf"), 2**40, 2**62, 2**70, -(2**63), 16**5000, 1j),
    *("", "causal", "x", "batch", b"x", [], {}, [[]], [1, [2]], [True, "x"], [2**70], [0.5], (1, 2), {1}, {None: 1}),
    *({"values": [300], "dtype": "int8"}, {"values": [1], "dtype": "x"}, {"values": [[1], [1, 2]], "dtype": "int8"}),
    *(object, np.int8(3), np.array([1]), np.ma.array([1], mask=[1]), np.array([None]), np.array(1), [[0, 1, 4]] * 2),
    *(
        {"type": "global_local", "seq_len": 4, "sliding_window": 2},
        {"type": "causal", "seq_len": 4},
        {"type": "window"},
    ),
]


def places(tree):
    """Every (container, key) in a tree."""
    keys = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in list(keys):
        yield tree, key
        yield from places(tree[key])


def test_500_broken_saved_forms(little_memory):
    random = Random("saved")
    for _ in range(500):
        tree = deepcopy(random.choice(MASKS))
        for _ in range(1 + random.randrange(2)):
            inside, key = random.choice(list(places(tree)) or [({}, None)])
            change = random.randrange(5)
            if change == 0:
                del inside[key]
            elif change == 1 and isinstance(inside, dict):
                inside[random.choice(VALUES[:20])] = inside[key]
            elif change == 2:
                inside[key] = deepcopy(random.choice(MASKS))
            else:
                inside[key] = random.choice(VALUES)
        with bounded(tree):
            used(maskkit.from_dict(tree))


# -- predicates -------------------------------------------------------------------------------------------------------


def test_100_predicates_of_plain_integers(little_memory):
    """Of a mask and of what is made of it, which is how a narrow dtype or `~` of a comparison goes wrong."""
    random = Random("predicates")
    classes = mask_classes()
    for _ in range(100):
        mask = make(random.choice(classes), 5, random.randrange)
        with bounded(mask):
            for one in (mask, ~mask, mask & ~mask, mask ^ mask[tuple(slice(None) for _ in mask.shape)]):
                used(one)


# -- metadata ---------------------------------------------------------------------------------------------------------


def broken_bytes(random, content):
    """With some bytes gone, changed, doubled or put in."""
    data = bytearray(content)
    for _ in range(1 + random.randrange(4)):
        at, what = random.randrange(len(data) + 1), random.randrange(4)
        if what == 0:
            del data[at : at + 1 + random.randrange(12)]
        elif what == 1:
            data[at : at + 1] = bytes([random.randrange(256)])
        elif what == 2:
            data[at:at] = data[: random.randrange(len(data) + 1)]
        else:
            data[at:at] = random.choice(
                [b"\0", b"\n", b"\xff\xfe", b"[", b"]", b"=", b":", b"\x1b[31m", b"[/bold]", b"\r"]
            )
    return bytes(data)


def test_200_broken_distributions_take_no_other_down(tmp_path):
    """All are installed beside each other; a sound one of a stranger, and ours, go on working."""
    random, site = Random("metadata"), Site(tmp_path)
    for i in range(200):
        name = f"acme{i}"
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\nSummary: a [b]mask[/b] é\n".encode()
        points = f"[console_scripts]\nx = y:z\n\n[maskkit]\nmask.stripes{i} = {name}\n".encode()
        source = GOOD.replace('"stripes"', f'"stripes{i}"')
        which = random.randrange(3)
        site.add_raw(
            f"{name}-1.dist-info",
            broken_bytes(random, metadata) if which != 1 else metadata,
            broken_bytes(random, points) if which != 0 else points,
            source,
        )
    site.add("sound", "sound", GOOD, "mask.stripes")
    found = site.run(
        """
        import json, sys, maskkit
        from maskkit.registry.catalog import entries
        works, told = [], []
        for name in ["stripes", "causal", *(f"stripes{i}" for i in range(200))]:
            try:
                works.append(str(maskkit.create(name, kind="mask", seq_len=4)))
            except maskkit.MaskkitError as error:
                told.append(str(error))
        texts = [text for entry in entries() for text in entry[:5]] + told
        print(json.dumps({"works": works, "odd": [t for t in texts if not t.isprintable()], "told": len(told)}))
        from maskkit.cli import main
        main(["list", "--kind", "mask"])
        """
    )
    assert found.returncode == 0, found.stderr[-2000:]
    assert "Traceback" not in found.stderr
    report = json.loads(found.stdout.splitlines()[0])
    assert report["works"][:2] == ["Stripes(seq_len=4)", "Causal(seq_len=4)"]
    assert report["odd"] == []
    assert report["told"] > 50
    assert len(report["works"]) > 20
    assert "sound" in found.stdout


# -- memory over time -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_20_000_calls_hold_memory_flat(monkeypatch):
    """Whatever is kept to be quick is bounded: after the first thousands of calls nothing more stays."""
    q = torch.zeros(1, 1, 6, 8)

    def call(i):
        mask = maskkit.create("causal", seq_len=6) & maskkit.parse(f"banded(band_width={2 * (i % 7) + 1})", seq_len=6)
        maskkit.from_dict(maskkit.to_dict(mask))
        long = maskkit.create("document", lengths=[i % 50 + 3, i // 50 % 50 + 3, i // 2500])  # always another
        (long[:6, :6] | mask).allowed()
        if i % 10 == 0:
            mask.stats()
            mask.fits()
            mask.text()
            mask.to_flex(block_size=16)
            repr(long)
            maskkit.attend(q, q, q, mask)
            maskkit.attend(q, q, q, long[:6, :6])
            maskkit.Template.of("causal").bind(i % 300 + 1)
        with suppress(MaskkitError):
            maskkit.create("causal", seq_len=-i)

    monkeypatch.setattr(limits, "_MOST_RESULTS", 128)  # what is kept of plans is full after the warm-up
    for i in range(4000):
        call(i)
    gc.collect()
    before = resident()
    for i in range(20_000):
        call(i)
    gc.collect()
    assert resident() - before < 2**25, f"{resident() - before:,} bytes"


def resident():
    """Bytes of memory that the process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
