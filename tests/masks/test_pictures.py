"""Pictures of masks too large to look at every row."""

import itertools
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import maskkit
from maskkit.masks.draw import shares as drawing
from maskkit.masks.draw.figure import figure as draw_figure


@pytest.mark.parametrize("length", [10**9, 10**12, 2**53 - 1])
@pytest.mark.parametrize("expression", ["causal", "~causal", "key_padding", "causal & ~banded(band_width=5)"])
def test_a_mask_of_any_length_is_drawn_and_says_that_rows_are_sampled(expression, length):
    mask = (
        maskkit.create("key_padding", lengths=[5, length], seq_len=length)
        if expression == "key_padding"
        else maskkit.parse(expression, seq_len=length)
    )
    last = mask.text(40).splitlines()[-1]
    assert last.startswith("each cell is ")
    assert "of which one row in" in last


def test_sampled_pictures_are_near_the_exact_ones(monkeypatch):
    masks = [maskkit.parse(e, seq_len=2000) for e in ("causal & banded(band_width=801)", "causal & random(seed=1)")]
    exact = [drawing.shares(mask, 20, 20)[0] for mask in masks]
    for name, most in (("_MOST_ROWS", 500), ("_SAMPLED_ROWS", 500), ("_MOST_POSITIONS", 10**5), ("_SAMPLE", 400**2)):
        monkeypatch.setattr(drawing, name, most)
    for mask, whole, step in zip(masks, exact, [(4, 1), (5, 5)], strict=True):
        sampled = drawing.shares(mask, 20, 20)[0]
        assert sampled.step == step
        assert sampled.values.shape == (20, 20)
        assert np.abs(sampled.values - whole.values).max() < 0.1


@pytest.mark.parametrize("part", [np.s_[-8:, :], np.s_[:, -8:]])
def test_a_narrow_part_of_a_long_mask_is_drawn_at_once(part):
    """Of few rows more keys are looked at, and of few keys more rows; `strided` has no few intervals."""
    start = time.process_time()
    maskkit.create("strided", seq_len=10**12, stride=64)[part].text()
    assert time.process_time() - start < 5  # some tenths of a second, and days without


def test_a_picture_is_exact_where_it_does_not_say_otherwise():
    drawn = drawing.shares(maskkit.create("causal", seq_len=2**20), 16, 16)[0]
    assert drawn.step == (1, 1)
    assert drawn.scale() == "each cell is 65,536 x 65,536"
    assert drawn.values[0, 0] == (2**16 + 1) / 2**17


def test_forms_of_a_length_that_nobody_goes_through_are_refused():
    mask = maskkit.create("causal", seq_len=10**12)
    with pytest.raises(maskkit.TooLarge, match=r"1,000,000,000,000 rows, the limit is"):
        mask.cu_seqlens()
    with pytest.raises(maskkit.TooLarge, match=r"1,000,000,000,000 rows, the limit is"):
        mask.mask_mod()
    assert "1,000,000,000,000 rows" in mask.fits()["window"].why


# -- titles -----------------------------------------------------------------------------------------------------------

BIGBIRD = maskkit.create("bigbird", seq_len=512, block_size=64, seed=1)
SVG = "{http://www.w3.org/2000/svg}"


def labels(document):
    """The lines of an SVG's title: all of its text but the grey one, which is sizes and scale."""
    texts = ElementTree.fromstring(document).iter(f"{SVG}text")
    return [text.text or "" for text in texts if text.get("fill") is None]


def test_the_title_of_an_svg_is_wrapped_to_its_width():
    document = BIGBIRD.svg()
    lines = labels(document)
    assert " ".join(lines) == repr(BIGBIRD)
    drawn = ElementTree.fromstring(document)
    assert 12 + 7 * max(map(len, lines)) <= int(drawn.get("width"))
    tops = [float(text.get("y")) for text in drawn.iter(f"{SVG}text") if text.get("fill") is None]
    scale = min(float(text.get("y")) for text in drawn.iter(f"{SVG}text") if text.get("fill"))
    assert tops == sorted(set(tops))
    picture = float(drawn.find(f"{SVG}g").get("transform").split()[1].rstrip(")"))
    assert tops[-1] < picture < scale < int(drawn.get("height"))


def test_a_narrow_svg_has_room_for_its_title():
    mask = maskkit.create("causal", seq_len=512)[:, :2]
    assert max(map(len, labels(mask.svg()))) > 10
    assert int(ElementTree.fromstring(mask.svg()).get("width")) >= 150


@pytest.mark.parametrize("title", ["a\0b\x1b[31m\x07", "\x85 \x9b \ud800", "\ufffe\uffff", "<&\"'>", "two\nlines"])
def test_any_title_makes_a_document_that_parsers_read(title):
    read = "\n".join(labels(maskkit.create("causal", seq_len=4).svg(title)))
    assert len(read) == len(title)
    assert all(a == b or b == "\N{REPLACEMENT CHARACTER}" for a, b in zip(title, read, strict=True))


@pytest.mark.parametrize(
    "mask", [BIGBIRD, BIGBIRD | maskkit.create("key_padding", lengths=[3, 7], seq_len=512)], ids=[1, 2]
)
def test_titles_of_figures_are_whole_and_inside(mask):
    figure = mask.picture().figure()
    figure.draw_without_rendering()
    above = figure._suptitle or figure.axes[0].title
    assert " ".join(above.get_text().split()) == " ".join(repr(mask).split())
    box, room = above.get_window_extent(), figure.bbox
    assert room.x0 <= box.x0 < box.x1 <= room.x1
    assert room.y0 <= box.y0 < box.y1 <= room.y1


@pytest.mark.parametrize("lines", [1, 2, 3, 5, 12])
def test_a_figure_has_room_for_its_title(lines):
    for masks in ([maskkit.create("causal", seq_len=8)], [maskkit.create("causal", seq_len=2000)] * 2):
        figure = draw_figure(masks, title="\n".join(["a line"] * lines))
        figure.draw_without_rendering()
        boxes = [ax.get_tightbbox() for ax in figure.axes]
        boxes += [figure._suptitle.get_window_extent()] if figure._suptitle else []
        assert all(0 <= box.y0 < box.y1 <= figure.bbox.y1 for box in boxes)


def test_titles_of_neighbours_do_not_meet():
    """Of several masks, each under its own name."""
    figure = draw_figure([BIGBIRD, ~BIGBIRD, BIGBIRD], title="three\nof them")
    figure.draw_without_rendering()
    boxes = [ax.title.get_window_extent() for ax in figure.axes]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
    assert all(box.y1 < figure._suptitle.get_window_extent().y0 for box in boxes)
    assert figure._suptitle.get_text() == "three\nof them"


def test_arrays_do_not_make_a_title_of_a_page():
    mask = maskkit.create("padding", padding_mask=np.eye(20, dtype=bool))
    assert len(labels(mask.svg())) == 12
    assert labels(mask.svg())[-1] == "..."


def test_titles_with_control_characters_warn_of_no_glyph():
    figure = draw_figure([maskkit.create("causal", seq_len=4)], title="a\x07b\x1b[31m")
    figure.draw_without_rendering()
    assert figure.axes[0].get_title() == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}[31m"


# -- samples ----------------------------------------------------------------------------------------------------------


def test_as_many_samples_are_drawn_as_asked_for():
    mask = maskkit.create("key_padding", lengths=[1, 2, 3, 4, 5, 6], seq_len=6)
    for samples, shown in ((None, 4), (2, 2), (6, 6), (9, 6)):
        picture = mask.picture(samples=samples)
        assert picture.text(80).count("batch") == shown
        assert ("more" in picture.text(80)) == (shown < 6)
        assert len(picture.figure().axes) == shown
        assert picture.svg().count("<g ") == shown


def test_rich_prints_a_mask_as_its_name_and_its_picture():
    import io

    from rich.console import Console

    mask = maskkit.create("document", lengths=[3, 5])
    console = Console(file=io.StringIO(), width=80)
    console.print(mask)
    assert console.file.getvalue() == f"{mask!r}\n{mask.text(80)}\n"


def test_a_figure_says_what_its_colours_and_units_are():
    ax = maskkit.create("causal", seq_len=4096).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["allowed", "blocked"]
    assert ax.get_legend().get_title().get_text() == "each cell is 4 x 4"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("key (tokens)", "query (tokens)")


def test_a_picture_in_a_notebook_names_its_axes_and_its_scale():
    drawn = maskkit.create("causal", seq_len=4096)._repr_html_()
    assert ">query 4,096 x key 4,096<" in drawn
    assert ">each cell is 16 x 16<" in drawn
    assert len(drawn) < 30_000
