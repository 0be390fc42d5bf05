"""The kit for exporters catches what it is there to catch, and says so in words that name the fault."""

import itertools

import numpy as np
import pytest
from maskkit import ConfigError
from maskkit.testing import check_exporter


class Good:
    """Booleans as lists."""

    name = "lists"

    def export(self, mask):
        """Nested lists of the mask's own axes."""
        return mask.allowed(dtype="bool").tolist()


def meaning(form, mask):
    return np.array(form, bool)


def variant(**changes):
    return type("Variant", (Good,), {"__doc__": Good.__doc__, **changes})()


def exporting(change):
    """An exporter of what `change` makes of the booleans."""

    def export(self, mask):
        """Changed lists."""
        return change(mask.allowed(dtype="bool")).tolist()

    return {"export": export}


def undocumented(self, mask):
    return mask.allowed(dtype="bool").tolist()


def nothing(self, mask):
    """Nothing."""


def refuses_all(self, mask):
    """Never."""
    raise ConfigError("not today")


def refuses_in_silence(self, mask):
    """Some."""
    raise ConfigError("") if len(mask.axes) > 2 else ConfigError("no")


def breaks(self, mask):
    """It asks for the first key of every row, which some rows have not."""
    allowed = mask.allowed(dtype="bool")
    _ = [row.nonzero()[0][0] for row in allowed.reshape(-1, mask.shape[-1])]
    return allowed.tolist()


def first_of_a_batch(self, mask):
    """One plane."""
    return mask.allowed(dtype="bool").reshape(-1, *mask.shape[-2:])[0].tolist()


def first_span_alone(self, mask):
    """From the first to the last key of every row."""
    allowed = mask.allowed(dtype="bool")
    return (np.maximum.accumulate(allowed, -1) & np.maximum.accumulate(allowed[..., ::-1], -1)[..., ::-1]).tolist()


def never_empty(allowed):
    """Rows that allow nothing get their first key, as some kernels want it."""
    return allowed | (~allowed.any(-1, keepdims=True) & (np.arange(allowed.shape[-1]) == 0))


calls = itertools.count()


def forgets(self, mask):
    """The right thing every second time."""
    allowed = mask.allowed(dtype="bool")
    return (allowed if next(calls) % 2 == 0 else ~allowed).tolist()


def test_what_is_right_passes():
    check_exporter(Good(), meaning)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (exporting(np.invert), r"of a causal mask: the form does not mean the mask: \(0, 0\) is allowed"),
        (exporting(lambda x: np.roll(x, 1, -1)), r"a causal mask: the form does not mean .* \(0, 0\) is allowed"),
        (exporting(lambda x: x.swapaxes(-1, -2)), r"a causal mask: the form does not mean .* \(0, 1\) is blocked"),
        (exporting(lambda x: x[..., ::-1, :]), r"a causal mask: the form does not mean"),
        (exporting(never_empty), r"a window that looks ahead: the form .* \(8, 0\) is blocked"),
        (exporting(lambda x: x[..., :5]), r"means a mask of shape \(8, 5\), not \(8, 8\)"),
        ({"export": first_of_a_batch}, r"a batch of two masks: it means a mask of shape \(5, 7\), not \(2, 5, 7\)"),
        ({"export": first_span_alone}, r"an array of pairs: the form does not mean the mask"),
        (
            {"export": breaks},
            "a window that looks ahead: IndexError: .*refuse what cannot be held with a ConfigError",
        ),
        ({"export": refuses_all}, "holds none of the masks; of the first it says: not today"),
        ({"export": refuses_in_silence}, "refuses a batch of two masks, and does not say why"),
        ({"export": nothing}, "gives None for a causal mask"),
        ({"export": forgets}, "a causal mask, asked again: the form does not mean the mask"),
        ({"export": undocumented}, "Variant.export needs a docstring"),
        ({"__doc__": None}, "Variant needs a docstring"),
        ({"name": None}, "needs a class attribute name, an identifier, got None"),
        ({"name": "two words"}, "an identifier, got 'two words'"),
    ],
)
def test_what_is_wrong_is_named(changes, words):
    with pytest.raises(AssertionError, match=words):
        check_exporter(variant(**changes), meaning)


def test_a_heavy_import_is_caught(tmp_path, monkeypatch):
    (tmp_path / "acme_heavy_form.py").write_text("import torch")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(AssertionError, match="importing acme_heavy_form imports torch; import them inside the method"):
        check_exporter(variant(__module__="acme_heavy_form"), meaning)
