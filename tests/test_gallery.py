"""The pages and pictures that `make docs-gallery` writes are there, whole and up to date."""

import csv
import runpy
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import maskkit
from maskkit.registry.catalog import entries
from maskkit_jepa.batch.pictures import CONTEXT_COLOUR, NOTHING_COLOUR

ROOT = Path(__file__).parent.parent
GALLERY = runpy.run_path(str(ROOT / "docs" / "gallery.py"))
KINDS = {"mask": ROOT / "plugins" / "masks", "strategy": ROOT / "plugins" / "jepa"}
FILES = {kind: GALLERY["files"](kind) for kind in KINDS}
ITEMS = [(kind, name) for kind in KINDS for name in GALLERY["items"](kind)]
RUN = "run `make docs-gallery`, and add what it writes"
SCALING = runpy.run_path(str(ROOT / "docs" / "context_parallel.py"))
SCALING_TABLE = SCALING["TABLE"].read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", KINDS)
def test_every_plugin_is_in_the_gallery(kind):
    """The folders under plugins/ and what is installed from them agree."""
    folders = {path.parent for path in KINDS[kind].glob("*/pyproject.toml") if path.parent.name not in ("all", "kit")}
    assert {folder.name for folder in folders} <= set(GALLERY["items"](kind))
    providers = {
        f"maskkit-{folder.parent.name.removesuffix('s')}-{folder.name.replace('_', '-')}" for folder in folders
    }
    assert providers <= {entry.provider for entry in entries()}


@pytest.mark.parametrize(("kind", "name"), ITEMS)
def test_an_item_has_its_row_and_its_picture(kind, name):
    page = ROOT / next(iter(FILES[kind]))
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith(f"| [{name}]")]
    assert len(rows) == 1, RUN
    for parameter in maskkit.info(name, kind=kind).parameters:
        assert f"`{parameter.name}" in rows[0], RUN
    picture = ROOT / GALLERY["GALLERIES"][kind].pictures / f"{name}.svg"
    assert f'src="{picture.relative_to(ROOT / "docs").as_posix()}"' in rows[0]
    assert picture.stat().st_size < 30_000
    drawn = ElementTree.parse(picture)
    shapes = ("path", "g/{http://www.w3.org/2000/svg}rect")  # of masks, of strategies
    assert any(drawn.findall(f".//{{http://www.w3.org/2000/svg}}{shape}") for shape in shapes), "nothing is drawn"


@pytest.mark.parametrize("name", GALLERY["items"]("strategy"))
def test_the_picture_of_a_strategy_shows_context_and_a_target(name):
    """The colour of the context, and at least one more that is neither that nor the colour of nothing."""
    drawn = ElementTree.parse(ROOT / "docs" / "pictures" / "strategies" / f"{name}.svg")
    colours = {rect.get("fill") for rect in drawn.iterfind(".//{http://www.w3.org/2000/svg}g/*")}
    assert CONTEXT_COLOUR in colours
    assert colours - {CONTEXT_COLOUR, NOTHING_COLOUR}


@pytest.mark.parametrize(("kind", "path"), [(kind, path) for kind in KINDS for path in FILES[kind]], ids=str)
def test_the_pages_and_their_pictures_are_up_to_date(kind, path):
    assert (ROOT / path).exists(), RUN
    assert (ROOT / path).read_text(encoding="utf-8") == FILES[kind][path], RUN


@pytest.mark.parametrize("kind", KINDS)
def test_there_are_no_pictures_of_items_that_are_gone(kind):
    _, *pictures = FILES[kind]
    folder = ROOT / GALLERY["GALLERIES"][kind].pictures
    assert {path.relative_to(ROOT) for path in folder.glob("*")} == set(pictures), RUN


@pytest.mark.parametrize("page", ["docs/masks.md", "docs/jepa.md"])
def test_the_readme_leads_to_it(page):
    """To the table of the strategies by way of docs/jepa.md."""
    assert f"({page})" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_first_picture_of_the_readme_is_up_to_date():
    opening = runpy.run_path(str(ROOT / "docs" / "opening.py"))
    assert opening["PICTURE"].read_text(encoding="utf-8") == opening["picture"](), "run: python docs/opening.py"


def test_the_figure_of_context_parallelism_is_drawn_from_its_table():
    assert SCALING["PICTURE"].read_text(encoding="utf-8") == SCALING["picture"](SCALING_TABLE), RUN
    assert SCALING["PICTURE"].stat().st_size < 30_000


@pytest.mark.slow
@pytest.mark.parametrize("mask", SCALING["masks"]())
def test_the_table_of_context_parallelism_has_what_is_counted_now(mask):
    """Its ends, and a middle where plans change places; the others are counted by the same calls."""
    ranks = (8, 256, 1024)
    found = [tuple(line) for line in csv.reader(SCALING_TABLE.splitlines()) if line[0] == mask]
    assert len(found) == len(SCALING["RANKS"]) * len(SCALING["PLANS"]), RUN
    counted = [tuple(map(str, line)) for line in SCALING["lines"](mask, ranks)]
    assert [line for line in found if int(line[1]) in ranks] == counted, RUN


def test_lines_that_are_equal_are_drawn_side_by_side():
    assert SCALING["strands"]([[5.0, 9.0], [5.0, 5.0], [1.0, 1.0]]) == [[6.3, 9.0], [3.7, 5.0], [1.0, 1.0]]


def test_the_page_on_strategies_leads_to_their_table():
    assert "(strategies.md)" in (ROOT / "docs" / "jepa.md").read_text(encoding="utf-8")
