"""The pages of the site that are written from the registry; `make docs` builds them, and fails on a dead link."""

import importlib
from pathlib import Path

import pytest
import maskkit

DOCS = Path(__file__).parent.parent / "docs"


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("site_pages")


def test_a_page_shows_picture_code_density_parameters_and_paper_in_this_order(pages):
    text = pages.item("mask", "sliding_window")
    parts = ("<svg ", 'maskkit.create("sliding_window", seq_len=16', "Allowed: ", "| `window_size` |", "Source: ")
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_every_installed_item_has_a_page_and_a_card(pages):
    written = {(entry.kind, entry.name) for entry in pages.known()}
    assert {f"{kind}.{name}" for kind, name in written} >= {
        name for name in maskkit.names() if name.partition(".")[0] in pages.TITLES
    }
    for kind in ("attention", "kernel"):
        shown = pages.cards(kind, "x")
        assert all(f"<b>{name}</b>" in shown for name in maskkit.names(kind))


def test_links_out_of_docs_lead_to_pages(pages):
    text = (
        "[a](../plugins/masks/causal) [b](../CONTRIBUTING.md) [c](masks.md) [d](https://x.y) [e](kernels.md#measured)"
    )
    assert pages.links(text, DOCS) == (
        "[a](/generated/plugins/masks/causal.md) [b](/generated/CONTRIBUTING.md) [c](/generated/mask.md) "
        "[d](https://x.y) [e](/kernels.md#measured)"
    )


def test_patterns_that_nothing_matches_leave_the_contents(pages):
    assert pages.toctree("kernels\nno-such-*\njepa*\n", DOCS) == "kernels\njepa*\n"


def test_every_public_name_is_in_the_reference(pages):
    text = pages.api()
    assert all(f"maskkit.{name}" in text for name in maskkit.__all__ if not name.startswith("__"))
