"""The page in Chromium, from a file and without a network."""

import shutil

import pytest
from playwright.sync_api import sync_playwright
import maskkit
from maskkit_explore._page import page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def browser():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        flags = ["--headless", "--no-sandbox", "--disable-background-networking"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=flags) as started:
            yield started


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "masks.html"
    path.write_text(page(), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def opened(browser, address):
    """Opens the page at a hash; nothing may be asked of a network, and nothing may go wrong."""
    pages, wrong = [], []

    def open_at(hash="", width=1280, height=900, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        tab = context.new_page()
        tab.on("pageerror", lambda error: wrong.append(str(error)))
        tab.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        tab.on("request", lambda asked: None if asked.url.startswith(("file:", "data:")) else wrong.append(asked.url))
        tab.goto(address + hash)
        pages.append(context)
        return tab

    yield open_at
    for context in pages:
        context.close()
    assert not wrong


def pair(tab):
    return tab.locator("#pair").inner_text(), tab.locator("#row").inner_text()


def test_a_mask_is_chosen_changed_and_combined(opened):
    """By keyboard alone: an expression, a number, an operator, another mask."""
    tab = opened("#mask=causal(seq_len=32)")
    tab.get_by_label("Tokens", exact=True).fill("48")
    tab.get_by_role("button", name="Combine").press("Enter")
    tab.get_by_label("window_size", exact=True).fill("7")
    assert tab.locator("#expression").input_value() == "causal(seq_len=48) & sliding_window(seq_len=48, window_size=7)"
    tab.get_by_label("Mask", exact=True).last.select_option("banded")
    tab.get_by_label("Invert").last.press("Enter")
    tab.get_by_label("How the masks are combined").select_option("stack head")
    expression = tab.locator("#expression").input_value()
    assert expression.startswith("stack([causal(seq_len=48), ~banded(seq_len=48")
    assert tab.locator("#planes").inner_text().endswith("of 2")


def test_every_mask_can_be_chosen_in_every_form(opened):
    """And is drawn, counted, written and read again, without a problem."""
    tab = opened()
    wrong = tab.evaluate("""() => Object.entries(CATALOGUE).flatMap(([name, item]) => item.forms.map((form, i) => {
        change({ ...fresh(name), form: i, values: plainSample(form) });
        canvas.paint();
        while (!measuring.next(performance.now() + 1000));
        showFigures(measuring);
        const known = state.problem ?? $("problem").textContent, expression = asExpression(state.tree);
        return known || ($("expression").value === expression ? "" : `${name}: ${expression}`);
    })).filter(Boolean)""")
    assert [why for why in wrong if "this page has the mask for numbers up to" not in why] == []


def test_the_cursor_names_the_pair_and_the_spans_of_its_row(opened):
    tab = opened("#mask=longformer(seq_len=64,window_size=5)")
    tab.locator("#canvas").focus()
    tab.keyboard.press("ArrowDown")
    assert pair(tab) == ("query 33, key 32: allowed", "Its row allows [0, 1) [31, 36)")
    tab.keyboard.press("Shift+ArrowRight")
    assert pair(tab)[0] == "query 33, key 48: blocked"
    for _ in range(4):
        tab.keyboard.press("+")
    assert tab.evaluate("canvas.view.w") == 4
    tab.keyboard.press("0")
    assert tab.evaluate("canvas.view.w") == 64


def test_the_pointer_names_the_pair_under_it(opened):
    tab = opened("#mask=causal(seq_len=16)")
    box = tab.locator("#canvas").bounding_box()
    plot = tab.evaluate("({...canvas.plot, left: MARGIN.left, top: MARGIN.top})")
    tab.mouse.move(box["x"] + plot["left"] + plot["w"] * 3.5 / 16, box["y"] + plot["top"] + plot["h"] * 2.5 / 16)
    assert pair(tab) == ("query 2, key 3: blocked", "Its row allows [0, 3)")


def test_figures_are_those_of_maskkit(opened):
    tab = opened("#mask=causal(seq_len=512)%20%26%20banded(seq_len=512,band_width=301)&block=64")
    tab.wait_for_function("measuring.done")
    stats = maskkit.parse("causal & banded(band_width=301)", seq_len=512).stats(block_size=64)
    shown = tab.locator("#numbers").inner_text().replace(",", "")
    for count in (stats.allowed, stats.total, *stats.blocks.values()):
        assert str(count) in shown
    assert f"{stats.density:.2%}".replace("%", " %") in shown
    assert f"{4 * 8 * 64 * stats.allowed / 1e6:.0f} MFLOP" in tab.locator("#cost").inner_text()


def test_wrong_input_names_the_parameter_the_value_and_what_is_allowed(opened):
    tab = opened("#mask=banded(seq_len=16,band_width=5)")
    tab.get_by_label("band_width", exact=True).fill("4")
    assert tab.locator("#problem").inner_text().startswith("band_width must be odd and positive, got 4; the band")
    tab.get_by_label("band_width", exact=True).fill("7")
    assert tab.locator("#problem").is_hidden()
    tab.locator("#expression").fill("causal & nothing")
    tab.locator("#expression").press("Enter")
    assert "unknown mask 'nothing'" in tab.locator("#problem").inner_text()
    tab.locator("#expression").fill("document(lengths=[5, 3])")
    tab.locator("#expression").press("Enter")
    tab.get_by_label("lengths", exact=True).fill("5, x")
    assert tab.locator("#problem").inner_text() == "lengths must be whole numbers with commas, got 5, x"


def test_a_link_restores_what_was_there(opened):
    """The mask, the view, the sample that is shown, and what costs are asked for."""
    tab = opened("#mask=key_padding(lengths=[5,8,2],seq_len=8)&heads=2")
    tab.get_by_label("Sample").fill("2")
    tab.locator("#canvas").focus()
    tab.keyboard.press("+")
    tab.wait_for_timeout(250)
    tab.get_by_label("Link").check()
    link = tab.locator("#text").inner_text()
    again = opened("#" + link.partition("#")[2])
    assert again.locator("#expression").input_value() == "key_padding(lengths=[5, 8, 2], seq_len=8)"
    assert again.evaluate("[leading()[0], canvas.view.w, $('heads').value]") == [2, 4, "2"]


@pytest.mark.parametrize(
    ("hash", "words"),
    [
        ("100%", "cannot read"),
        ("nothing", "unknown mask"),
        ("constructor", "unknown mask"),
        ("causal(seq_len=-4)", "must"),
    ],
)
def test_a_link_to_no_mask_says_so_beside_a_page_that_works(opened, hash, words):
    tab = opened(f"#mask={hash}")
    assert words in tab.locator("#problem").inner_text()
    tab.get_by_label("Tokens", exact=True).fill("32")
    assert "seq_len=32" in tab.locator("#text").inner_text()


def test_a_link_with_a_block_size_that_is_not_offered_takes_the_usual(opened):
    tab = opened("#mask=causal(seq_len=32)&block=17")
    tab.wait_for_function("measuring.done")
    assert tab.locator("#block").input_value() == "128"


def test_a_link_restores_planes_of_every_axis_and_nothing_of_the_link_before(opened):
    tab = opened()
    tab.evaluate("change(fresh('instance_separation'))")
    tab.get_by_label("Query").fill("1")
    tab.get_by_label("Link").check()
    link = tab.locator("#text").inner_text()
    assert opened("#" + link.partition("#")[2]).evaluate("state.plane.query") == 1
    tab.evaluate("location.hash = 'mask=key_padding(lengths=[5,8],seq_len=8)'")
    tab.wait_for_function("state.mask.axes.includes('key')")
    assert tab.evaluate("[state.plane.query, canvas.view.w]") == [None, 8]


def test_a_tree_that_is_no_mask_is_not_given_back(opened):
    tab = opened("#mask=causal(seq_len=8)")
    tab.get_by_label("Tokens", exact=True).fill("0")
    assert tab.locator("#text").inner_text() == ""
    assert "seq_len must be positive" in tab.locator("#how").inner_text()
    assert tab.get_by_role("button", name="Copy").is_disabled()


def test_a_mask_that_is_put_beside_another_meets_it(opened):
    """Whatever its axes and sizes."""
    tab = opened()
    wrong = tab.evaluate("""() => Object.keys(CATALOGUE).filter((name) => {
        state.tree = fresh(name, 64);
        change({ op: "and", parts: [state.tree, nextMask(state.tree)] });
        return state.problem;
    })""")
    assert wrong == []


def test_a_page_begins_with_the_mask_that_was_given(browser, tmp_path):
    mask = maskkit.parse("prefix_tree(lengths=[3, 2, 2], parents=[-1, 0, 0])")
    (tmp_path / "own.html").write_text(page(mask), encoding="utf-8")
    tab = browser.new_page()
    tab.goto((tmp_path / "own.html").as_uri())
    assert tab.locator("#expression").input_value() == "prefix_tree(lengths=[3, 2, 2], parents=[-1, 0, 0])"
    tab.close()


def test_a_million_tokens_are_redrawn_in_a_frame(opened):
    """Below 16 ms, where others leave the machine to it; pictures of so many pairs say that they are sampled."""
    tab = opened("#mask=causal(seq_len=1048576)%20%26%20sliding_window(seq_len=1048576,window_size=4096)")
    times = tab.evaluate("""() => Array.from({length: 21}, (_, i) => {
        canvas.view = {x: 1000 * i, y: 900 * i, w: 900000, h: 900000};
        canvas.paint();
        return canvas.drawn;
    })""")
    assert sorted(times)[5] < 16
    assert "sampled: each line of the picture is one query of" in tab.locator("#scale").inner_text()


@pytest.mark.parametrize("width", [360, 800, 1600])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_runs_over_the_edge(opened, width, scheme):
    tab = opened(
        "#mask=(causal(seq_len=64)%20%7C%20fixed(seq_len=64,block_size=8,num_summary=2))%20%26%20~banded(seq_len=64,band_width=5)",
        width,
        800,
        scheme,
    )
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_it_prints(opened):
    tab = opened()
    assert tab.pdf()[:5] == b"%PDF-"
