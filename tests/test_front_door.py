"""Light imports: facts about sys.modules, not about time."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import maskkit

HEAVY = {"keras", "torch", "jax", "tensorflow", "matplotlib", "transformers"}
ROOT = Path(__file__).parent.parent


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint('MODULES', *sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in done.stdout.partition("MODULES")[2].split()}


def test_import_maskkit_loads_nothing():
    found = modules_after("import maskkit")
    assert not found & (HEAVY | {"numpy", "attrs", "attr", "cattrs", "pluggy", "rich", "typer", "yaml"})


@pytest.mark.parametrize("arguments", ["['list']", "['list', '--json']", "['list', '--requirements']"])
def test_listing_loads_next_to_nothing(arguments):
    found = modules_after(f"from maskkit.cli import run; run({arguments})")
    assert not found & (HEAVY | {"numpy", "attrs", "attr", "cattrs", "pluggy", "rich", "yaml"})
    assert not {name for name in found if name.startswith("maskkit_")}


def test_rendering_loads_no_framework():
    found = modules_after("from maskkit.cli import run; run(['render', 'causal', '--seq-len', '4'])")
    assert not found & HEAVY
    assert {name for name in found if name.startswith("maskkit_")} == {"maskkit_mask_causal"}


def test_creating_and_using_masks_loads_no_framework():
    found = modules_after(
        "import maskkit, numpy\n"
        "m = maskkit.parse('causal & ~banded(band_width=3)', seq_len=8)\n"
        "numpy.asarray(m), m.bias(), m.blocks(), m.stats(), m.text(), m._repr_svg_(), maskkit.to_dict(m)"
    )
    assert not found & HEAVY


def test_every_public_name_is_there():
    """`__init__.pyi` is the one list, for type checkers and at run time."""
    listed = re.findall(
        r"^from [.\w]+ import (\w+) as (\w+)$", (ROOT / "maskkit/__init__.pyi").read_text(), re.MULTILINE
    )
    assert sorted(maskkit.__all__) == sorted(name for name, _ in listed)
    assert all(name == alias and getattr(maskkit, name) is not None for name, alias in listed)
    assert {name for name in dir(maskkit) if not name.startswith("_")} <= {*maskkit.__all__}


def test_unknown_attributes_are_refused():
    with pytest.raises(AttributeError, match="No maskkit attribute crate"):
        maskkit.crate  # noqa: B018
