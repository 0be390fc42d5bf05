"""The page as a file, and `maskkit explore`."""

import re

import pytest
import maskkit
from maskkit.cli import run
from maskkit_explore._kernels import rules
from maskkit_explore._page import MOST_BYTES, page
from maskkit_explore._paths import Paths, explore
from maskkit_explore._symbols import Untraceable


@pytest.fixture(scope="module")
def html():
    return page(maskkit.parse("causal & tree(parents=[-1, 0, 0, 1])"))


def test_it_is_small(html):
    assert len(html.encode()) < MOST_BYTES == 300_000


def test_it_names_no_address_to_fetch(html):
    """Addresses stand in text alone; its policy forbids the rest."""
    assert "default-src 'none'" in html
    assert re.findall(r"""(?:src|href)=["'](?!data:)""", html) == []
    assert not re.search(r"\b(?:fetch|XMLHttpRequest|WebSocket|import)\(", html)


def test_every_mask_is_in_it_or_absent_with_a_reason(html):
    missing = [name for name in maskkit.names("mask") if f'"{name}": {{' not in html]
    assert missing == ["global_local"]
    assert "it gives several masks (causal, sliding_window); add them one by one" in html


def test_what_a_third_party_says_is_text():
    """A summary that would end the script, or the page."""
    from attrs import field, frozen

    @frozen(kw_only=True)
    class Loud(maskkit.AttentionMask):
        """A mask </SCRIPT > </script><script>alert(1)</script> <!-- of strangers.

        Attributes:
            seq_len: tokens.
        """

        name = "loud"
        samples = (dict(seq_len=4),)
        seq_len: int = field(validator=maskkit.positive)

        def allows(self, q, k):
            return k <= q

    with maskkit.register(Loud):
        written = page()
    assert "of strangers" in written
    assert written.lower().count("</script") == 1
    assert "<!-- of" not in written


def test_a_seed_beyond_2_53_stays_what_it_is():
    """JavaScript would round the number."""
    assert '"seed":18446744073709551615n' in page(maskkit.create("random", seq_len=8, seed=2**64 - 1))


def test_the_command_writes_it(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["explore", "causal & banded(band_width=5)", "--seq-len", "32"]) == 0
    assert capsys.readouterr().err == "wrote masks.html\n"
    assert '"seq_len":32' in (tmp_path / "masks.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["masks.html"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["causal &"], "cannot read"),
        (["global_local(sliding_window=4)"], "the explorer shows one mask, got (Causal(seq_len=64), "),
        (["-o", "masks.txt"], "unknown suffix '.txt'; use .html"),
        (["-o", "nowhere/masks.html"], "No such file or directory"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["explore", *arguments]) == 1
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rules_say_how_far_the_kernels_are_from_them():
    found, absent = rules()
    assert {rule.kernel for rule in found} | absent.keys() == set(maskkit.names("kernel"))
    by_name = {rule.kernel: rule for rule in found}
    assert (by_name["dense"].over, by_name["area"].over) == ("all", "touched")
    for rule in found:
        assert rule.low <= 1 <= rule.high
        assert rule.each > 0


def test_paths_part_where_python_asks_a_field():
    """A branch for every answer, and the same question once."""

    def run_once(paths):
        field = paths.field("n", "int")
        return "small" if field < 3 else "large" if field < 3 else "other"

    tree = explore(run_once)
    assert tree.ways == {False: "other", True: "small"}


def test_too_many_paths_are_given_up_with_the_fields():
    with pytest.raises(Untraceable) as given_up:
        explore(lambda paths: [bool(paths.field("n", "int") < i) for i in range(12)])
    assert given_up.value.fields == {"n"}


def test_numpy_never_reads_what_stands_in_a_table():
    """Whatever is not kept fails, and is not silently wrong."""
    import numpy as np

    table = Paths().table("t", 1, "int64")
    acts = (
        lambda: np.asarray(table) + 1, lambda: np.sort(table), lambda: table.mean(), lambda: table[1:],
        lambda: np.where(table > 1, 1, 0), lambda: np.zeros(3) + np.array([table[0]]), lambda: float(table[0]),
    )  # fmt: skip
    for act in acts:
        with pytest.raises((Untraceable, TypeError, ValueError)):
            act()
