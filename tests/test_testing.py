"""The conformance kit catches what it is there to catch, and says so in words that name the mask."""

import itertools
import os
import random
import subprocess
import sys

import numpy as np
import pytest
from attrs import define, field, frozen
from maskkit import AttentionMask, Spans, positive
from maskkit.masks.mask import Mask
from maskkit.testing import check_light_import, check_plugin

DOC = """Query q may see keys 0..q.

    Attributes:
        seq_len: number of tokens.
        extra: what else there is.
"""


FROZEN = frozen(kw_only=True)
COUNT = itertools.count()


class Good(AttentionMask):
    """A causal mask without its decorator: `make` changes a part of it and decorates the rest."""

    __doc__ = DOC
    __annotations__ = {"seq_len": int}
    name = "good"
    samples = ({"seq_len": 6},)
    seq_len = field(validator=positive)

    def allows(self, q, k):
        return k <= q

    def spans(self, q):
        return Spans.interval(0, q + 1)


def make(decorate=FROZEN, extra=None, **changes):
    """The good mask with changes, under a name by which pickle finds it; `extra` is one more field."""
    more = {"extra": extra} if extra is not None else {}
    body = {**vars(Good), **more, **changes, "__module__": __name__, "__qualname__": f"Made{next(COUNT)}"}
    body["__annotations__"] = Good.__annotations__ | dict.fromkeys(more, list)
    body = {key: value for key, value in body.items() if key not in ("__dict__", "__weakref__")}
    cls = decorate(type(body["__qualname__"], (AttentionMask,), body))
    globals()[cls.__name__] = cls
    return cls


def no_spans(self, q):
    return None


def changes_its_indices(self, q, k):
    q += 1
    return k < q


def whole_rows(self, key):
    """A view that forgets steps of rows."""
    return Mask.__getitem__(self, (..., key[-1]))


def in_another_order(self, q):
    return Spans.interval(0, np.sort(q) + 1)


def test_the_kit_passes_what_is_right():
    check_plugin(make(), backends=["torch"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        # the rule and its spans
        ({"allows": lambda self, q, k: k < q}, r"spans\(\) differs from allows\(\), first at \(0, 0\): True instead"),
        ({"spans": lambda self, q: Spans.interval(0, q + 2)}, r"spans\(\) differs from allows\(\), first at \(0, 1\)"),
        ({"spans": in_another_order}, r"spans\(\) differs from allows\(\)"),
        ({"spans": lambda self, q: 1 / 0}, "check spans: ZeroDivisionError"),
        ({"spans": lambda self, q: [(0, 1)]}, "check spans: AttributeError: 'list' object"),
        ({"spans": no_spans, "reach": lambda self, q: Spans.interval(0, q)}, r"reach\(\) leaves out allowed"),
        ({"allows": lambda self, q, k: k <= q and k >= 0}, "check rule: ValueError: The truth value of an array"),
        (
            {"period": 1, "allows": lambda self, q, k: k <= q * 2, "spans": no_spans},
            r"period is 1, but a row is not the one 1 before, moved by 1, first at \(0, 1\)",
        ),
        (
            {
                "period": 1,
                "axes": ("batch", "query", "key"),
                "shape": property(lambda self: (2, 6, 6)),
                "allows": lambda self, b, q, k: (k <= q) & (b >= 0),
                "spans": lambda self, b, q: None,
            },
            "a period is for masks of queries by keys",
        ),
        ({"period": property(lambda self: -1)}, "period must not be negative, got -1"),
        ({"period": property(lambda self: 0.5)}, "period must be an integer, got 0.5"),
        ({"allows": lambda self, q, k: (k <= q) * 1}, r"allows\(\) must answer with booleans, got int64"),
        ({"allows": changes_its_indices}, r"allows\(\) changes the index arrays"),
        ({"allows": lambda self, q, k: (k <= q) ^ (random.random() < 0.5)}, "differs from"),
        # the shape
        ({"shape": property(lambda self: [6, 6])}, r"shape must be a tuple of positive integers, got \[6, 6\]"),
        ({"shape": property(lambda self: (6.0, 6))}, r"got \(6.0, 6\)"),
        ({"shape": property(lambda self: (0, 6))}, r"got \(0, 6\)"),
        (
            {"shape": property(lambda self: (6,))},
            r"the axes are \('query', 'key'\), and the shape is \(6,\); name one for each",
        ),
        ({"shape": property(lambda self: self.length)}, "no attribute 'length'"),
        # the value
        ({"decorate": define(kw_only=True)}, "must be frozen"),
        ({"decorate": lambda cls: cls}, "not decorated with @attrs.frozen"),
        ({"decorate": frozen(kw_only=True, eq=False)}, "a copy is not equal"),
        ({"__hash__": lambda self: id(self)}, "a copy has another hash"),
        ({"extra": field(factory=list)}, "has no hash: unhashable type: 'list'; hold lists as tuples"),
        ({"seq_len": field(converter=lambda value: value + 1, validator=positive)}, "does not survive to_dict"),
        # the class
        ({"name": "two words"}, "needs a class attribute name, an identifier, got 'two words'"),
        ({"samples": ()}, "needs samples"),
        ({"samples": ({"seq_len": -1},)}, "with the sample {'seq_len': -1}: build: .* must be positive"),
        ({"samples": ({"seq_len": 1000},)}, "has 1000000 cells, too many"),
        ({"seq_len": field(), "shape": (6, 6)}, r"\(seq_len=True\) is accepted; give the field a validator"),
        ({"__doc__": None}, "needs a docstring"),
        ({"__doc__": "Query q may see keys 0..q."}, "Attributes say nothing of 'seq_len'"),
        # what it shows
        ({"text": lambda self, width: "x" * 61}, "is wider than 60"),
        ({"_repr_svg_": lambda self: "<svg>"}, "check pictures: ParseError"),
        ({"allowed": lambda self, *args, **kwargs: ~Mask.allowed(self, *args, **kwargs)}, r"allowed\(\) differs"),
        ({"blocked": Mask.allowed}, r"blocked\(\) is not the complement"),
        ({"__invert__": lambda self: self}, "~mask is wrong"),
        ({"__getitem__": whole_rows}, r"mask\[..., .*\] is wrong"),
        ({"stats": lambda self, block_size=128: (~self).stats(block_size)}, r"stats\(\).allowed is 15, not 21"),
        ({"blocks": lambda self, block_size=128: (~self).blocks(block_size)}, r"blocks\(1\).dense\(\) is wrong"),
    ],
)
def test_the_kit_says_what_is_wrong(changes, words):
    cls = make(**changes)
    with pytest.raises(AssertionError, match=words) as caught:
        check_plugin(cls, backends=[])
    assert cls.__name__ in str(caught.value)


def without(*libraries, code, **env):
    """What code prints where some libraries are not installed, and nobody named a backend of Keras."""
    hide = (
        "from importlib.machinery import PathFinder as finder; find = finder.find_spec\n"
        "def others(cls, name, *more):\n"
        f"    return None if name.partition('.')[0] in {libraries!r} else find(name, *more)\n"
        "finder.find_spec = classmethod(others)\n"
    )
    env = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"} | env
    done = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("libraries", "told"),
    [
        (("torch", "jax", "keras"), ["torch: not installed", "jax: not installed", "keras: not installed"]),
        (("torch", "jax", "tensorflow"), ["torch: not installed", "jax: not installed", "keras: its own backend, "]),
        (("jax", "tensorflow"), ["jax: not installed"]),
    ],
)
def test_what_is_not_installed_is_left_out_and_told(tmp_path, libraries, told):
    code = (
        "from maskkit.testing import check_plugin; from maskkit_mask_key_padding import KeyPadding\n"
        "print(*check_plugin(KeyPadding), sep='\\n')"
    )
    said = without(*libraries, code=code, KERAS_HOME=str(tmp_path))
    assert [line[: len(f"backend {words}")] for line, words in zip(said, told, strict=True)] == [
        f"backend {words}" for words in told
    ]


def test_a_kernel_whose_library_is_not_installed_is_held_to_the_rest():
    code = (
        "from maskkit.testing import check_kernel; from maskkit_kernel_dense import Dense\n"
        "print(*check_kernel(Dense, 'jax'))"
    )
    assert without("jax", code=code) == ["what it computes: jax is not installed"]


def test_a_backend_that_somebody_named_stays(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    code = "import os; from maskkit.testing import choose_keras_backend as c; print(c(), os.getenv('KERAS_BACKEND'))"
    assert without("tensorflow", code=code, KERAS_HOME=str(tmp_path)) == ["jax None"]
    assert without("tensorflow", code=code, KERAS_BACKEND="tensorflow") == ["tensorflow tensorflow"]
    assert without("tensorflow", "jax", code=code, KERAS_HOME=str(tmp_path)) == ["torch torch"]


def test_a_field_that_hides_what_masks_have_is_caught():
    """It would answer where the spans are looked for."""

    @frozen(kw_only=True)
    class Hiding(Good):
        """Query q may see keys 0..q."""

        reach: int = field(default=3, validator=positive)

    with pytest.raises(AssertionError, match=r"the field 'reach' hides Pattern.reach of maskkit; call it otherwise"):
        check_plugin(Hiding, backends=[])


def test_a_rule_that_leaves_the_array_library_is_caught():
    with pytest.raises(AssertionError, match="turns Tensor indices into ndarray; write it with operators"):
        check_plugin(make(allows=lambda self, q, k: np.asarray(k) <= np.asarray(q)), backends=["torch"])


def test_a_heavy_import_is_caught(tmp_path, monkeypatch):
    (tmp_path / "acme_light.py").write_text("import json")
    (tmp_path / "acme_heavy.py").write_text("import torch")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check_light_import("acme_light")
    with pytest.raises(AssertionError, match=r"importing acme_heavy imports torch; import them inside the method"):
        check_light_import("acme_heavy")
