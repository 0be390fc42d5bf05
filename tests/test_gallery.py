"""docs/masks.md shows every mask of this repository, as the generator writes it."""

import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import maskkit
from maskkit.catalog import entries
from maskkit.draw.svg import svg

ROOT = Path(__file__).parent.parent
GALLERY = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
FILES = GALLERY["files"]()
PAGE, *PICTURES = FILES
RUN = "run `make docs-gallery`, and add what it writes"


def test_every_mask_plugin_is_in_the_gallery():
    """The folders under plugins/ and what is installed from them agree."""
    names = {path.parent.name for path in ROOT.glob("plugins/masks/*/pyproject.toml")}
    assert names <= set(GALLERY["masks"]())
    assert {f"maskkit-mask-{name.replace('_', '-')}" for name in names} <= {entry.provider for entry in entries()}


@pytest.mark.parametrize("name", GALLERY["masks"]())
def test_a_mask_has_its_row_and_its_picture(name):
    rows = [line for line in (ROOT / PAGE).read_text(encoding="utf-8").splitlines() if line.startswith(f"| [{name}]")]
    assert len(rows) == 1, RUN
    for parameter in maskkit.info(name, kind="mask").parameters:
        assert f"`{parameter.name}" in rows[0], RUN
    picture = ROOT / "docs" / "pictures" / "masks" / f"{name}.svg"
    assert f'src="{picture.relative_to(ROOT / "docs").as_posix()}"' in rows[0]
    assert picture.stat().st_size < 30_000
    drawn = ElementTree.parse(picture)
    assert drawn.findall(".//{http://www.w3.org/2000/svg}path"), "nothing is drawn"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_page_and_its_pictures_are_up_to_date(path):
    assert (ROOT / path).exists(), RUN
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[path], RUN


def test_there_are_no_pictures_of_masks_that_are_gone():
    assert {path.relative_to(ROOT) for path in ROOT.glob("docs/pictures/masks/*")} == set(PICTURES), RUN


def test_the_readme_leads_to_it():
    assert "(docs/masks.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_label_of_an_svg_is_cut_to_its_width():
    label = "a label that is far wider than any picture of a causal mask could ever be, and so is cut"
    drawn = ElementTree.fromstring(svg(maskkit.create("causal", seq_len=16), title=label))
    (shown, _) = drawn.iter("{http://www.w3.org/2000/svg}text")
    assert shown.text.endswith("...")
    assert 7 * len(shown.text) <= int(drawn.get("width"))
    short = ElementTree.fromstring(svg(maskkit.create("causal", seq_len=16), title="causal"))
    assert next(short.iter("{http://www.w3.org/2000/svg}text")).text == "causal"
