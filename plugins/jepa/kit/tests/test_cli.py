"""Strategies on the command line: drawn in the terminal and into files, and counted."""

import json
import re
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest
import maskkit

SMALL = ["multi_block", "--input-size", "32", "--patch-size", "8", "--num-target-masks", "1", "--seed", "0"]
SMALL += ["--target-scale", "0.2,0.3"]


@pytest.fixture
def cli(cli, monkeypatch, tmp_path):
    """In a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return cli


def small(**more):
    return maskkit.create(
        "multi_block", input_size=32, patch_size=8, num_target_masks=1, target_scale=(0.2, 0.3), **more
    )


def test_render_draws_the_first_sample_and_a_legend(cli):
    code, out, _ = cli("render", *SMALL)
    assert code == 0
    picture, _, legend = out.rstrip("\n").rpartition("\n")
    assert picture == small(seed=0).sample(0).text()
    assert picture.count("1") == 2 * 4, "a target of 2 x 2 tokens, two characters each"
    assert legend == "░ context   1 target" + "   blank neither" * (" " in picture)


def test_the_legend_names_what_is_there(cli):
    """Targets over each other and tokens that are neither, and nothing that is not in the picture."""
    _, out, _ = cli("render", "hierarchical", "--overlap", "legacy", "--seed", "0")
    assert out.splitlines()[-1] == "░ context   1-4 targets   + several targets   blank neither"
    _, out, _ = cli("render", "tube", "--seed", "0")
    assert out.splitlines()[-1] == "░ context   1 target"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", maskkit.names("strategy"))
def test_every_strategy_is_drawn_and_counted_by_its_name_alone(cli, tmp_path, name):
    """In the terminal, within its width; as a picture; and as figures."""
    code, out, _ = cli("render", name)
    assert code == 0
    assert "░ context   1" in out.splitlines()[-1]
    assert max(map(len, out.splitlines())) <= 80
    assert cli("render", name, "-o", "masks.png")[0] == 0
    assert len(np.unique(matplotlib.image.imread(tmp_path / "masks.png")[..., :3].reshape(-1, 3), axis=0)) > 5
    code, out, _ = cli("stats", name, "--json")
    assert code == 0
    figures = json.loads(out)
    for group in figures.values() if isinstance(next(iter(figures.values())), dict) else (figures,):
        assert 0 < group["target_coverage_mean"] < 1


def test_what_is_made_up_is_said(cli):
    """Scores come with each call in a training; here there are none but examples."""
    _, _, err = cli("stats", "score_guided", "--seed", "0")
    assert err == "scores: made up here; in training they are given with each call\n"
    _, _, err = cli("render", "curriculum")
    assert err == "curriculum needs strategy and schedules; this is the example of maskkit show curriculum\n"
    code, _, err = cli("render", "curriculum", "--stages", "4")
    assert code == 1
    assert "Required parameters for 'curriculum' are missing: ['strategy', 'schedules']" in err


def test_show_names_a_list_of_settings_by_their_labels(cli):
    _, out, _ = cli("show", "vjepa")
    assert "[{'label': 'short', ..}, {'label': 'long', ..}]" in out
    assert max(map(len, out.splitlines())) < 420


def test_render_writes_a_picture(cli, tmp_path):
    options = ["--input-size", "224", "--patch-size", "16", "--seed", "0"]
    code, out, err = cli("render", "multi_block", *options, "-o", "masks.png")
    assert (code, out, err) == (0, "", "wrote masks.png\n")
    picture = matplotlib.image.imread(tmp_path / "masks.png")
    assert picture.shape[0] > 300
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 5


@pytest.mark.parametrize("name", maskkit.names("strategy"))
def test_the_seed_that_was_drawn_draws_the_same_again(cli, tmp_path, name):
    """Said on stderr, and kept by a file."""
    (tmp_path / "a.json").write_text(json.dumps(_without_seeds(maskkit.to_dict(_example(name)))))
    _, out, err = cli("render", "a.json")
    seeds = _told(err)
    assert seeds
    if len(seeds) == 1:
        assert cli("render", "a.json", "--seed", *seeds)[1] == out
    _, _, err = cli("render", "a.json", "-o", "b.yaml")
    assert all(seed in (tmp_path / "b.yaml").read_text() for seed in _told(err))
    assert not _told(cli("render", "b.yaml")[2])


def _told(err):
    """The seeds that were drawn."""
    line = next((line for line in err.splitlines() if "drawn" in line), "")
    return re.findall(r"\d+", line.partition("; ")[0])


def _example(name):
    return maskkit.config(name, kind="strategy", **maskkit.info(name, kind="strategy").example)


def _without_seeds(node):
    if isinstance(node, list):
        return [_without_seeds(one) for one in node]
    return {k: _without_seeds(v) for k, v in node.items() if k != "seed"} if isinstance(node, dict) else node


def test_samples_stand_side_by_side(cli):
    _, out, _ = cli("render", "multi_block", "--seed", "3", "--samples", "4")
    lines = out.splitlines()
    assert lines[0].split() == ["sample", "0", "sample", "1", "sample", "2", "sample", "3"]
    assert len(lines) == 1 + 16 + 1
    assert max(map(len, lines)) <= 80
    alone = maskkit.create("multi_block", seed=3).sample(2).text(width=16).splitlines()
    assert [line[34:50].rstrip() for line in lines[1:-1]] == alone


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("columns", [20, 40, 80])
@pytest.mark.parametrize("name", ["hierarchical", "vjepa", "mlm", "multimodal"])
def test_samples_fit_the_width(cli, monkeypatch, name, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    _, out, _ = cli("render", name, "--seed", "3", "--samples", "3")
    drawn = [line for line in out.splitlines()[:-1] if not line.startswith("1 character = ")]
    assert max(map(len, drawn)) <= columns
    assert out.count("sample 2") == out.count("sample 0") > 0


def test_files_hold_as_many_samples_as_asked_for(cli, tmp_path):
    cli("render", *SMALL, "--samples", "6", "-o", "masks.npz")
    np.testing.assert_array_equal(np.load(tmp_path / "masks.npz")["context"], small(seed=0).preview(6).arrays[0])
    cli("render", *SMALL, "--samples", "3", "-o", "masks.svg")
    assert [text for text in ElementTree.parse(tmp_path / "masks.svg").getroot().itertext() if "sample" in text] == [
        "sample 0",
        "sample 1",
        "sample 2",
    ]


def test_any_label_makes_a_document_that_parsers_read(cli, tmp_path):
    blocks = [dict(label="a\x1b[31m<", num_blocks=1, spatial_scale=[0.2, 0.3])]
    (tmp_path / "v.json").write_text(json.dumps(dict(type="vjepa", masks=blocks, seed=0)))
    assert cli("render", "v.json", "-o", "v.svg") == (0, "", "wrote v.svg\n")
    assert "a\N{REPLACEMENT CHARACTER}[31m<" in "".join(ElementTree.parse(tmp_path / "v.svg").getroot().itertext())
    assert "\x1b" not in cli("render", "v.json")[1]


def test_colours_are_for_terminals(cli, monkeypatch):
    """As many characters as without; none where NO_COLOR asks for none, or the terminal knows none."""
    plain = cli("render", "multi_block", "--seed", "3")[1]
    monkeypatch.setattr("maskkit.cli.streams.sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setattr("maskkit.cli.pictures.typer.echo", print)  # which would take them out here
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    shown = cli("render", "multi_block", "--seed", "3")[1]
    assert "\x1b[34m░░" in shown
    assert "\x1b[31m11" in shown
    assert re.sub(r"\x1b\[[0-9;]*m", "", shown) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert cli("render", "multi_block", "--seed", "3")[1] == plain
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert cli("render", "multi_block", "--seed", "3")[1] == plain


@pytest.mark.parametrize("suffix", ["svg", "pdf", "txt", "npz", "json"])
def test_render_writes_every_form(cli, tmp_path, suffix):
    path = tmp_path / f"masks.{suffix}"
    assert cli("render", *SMALL, "-o", path.name)[0] == 0
    if suffix == "svg":
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    elif suffix == "npz":
        np.testing.assert_array_equal(np.load(path)["targets"], small(seed=0).preview(4).arrays[1])
    elif suffix == "json":
        assert maskkit.from_dict(json.loads(path.read_text())) == small(seed=0).config
    elif suffix == "txt":
        assert path.read_text().startswith(small(seed=0).sample(0).text() + "\n░ context")
    else:
        assert path.stat().st_size > 1000


def test_stats_have_a_column_for_each_level(cli):
    code, out, _ = cli("stats", "hierarchical", "--overlap", "allow", "--seed", "0")
    assert code == 0
    config, header, *rows = out.splitlines()
    assert config.startswith("Hierarchical(")
    assert header.split() == ["of", "1,000", "samples", "level_0", "level_1", "level_2"]
    figures = maskkit.create("hierarchical", overlap="allow", seed=0).sample(range(1000)).stats()
    assert rows[0].split() == ["context", "coverage", "mean"] + [
        f"{level['context_coverage_mean']:.1%}" for level in figures.values()
    ]
    assert len(rows) == 13


def test_stats_of_one_group_say_how_many_samples(cli):
    _, out, _ = cli("stats", *SMALL)
    assert out.splitlines()[1].strip() == "of 1,000 samples"
    assert ["target", "coverage", "mean", "25.0%"] in [line.split() for line in out.splitlines()]


def test_stats_for_programs(cli):
    _, out, _ = cli("stats", *SMALL, "--json")
    assert json.loads(out) == small(seed=0).sample(range(1000)).stats()


@pytest.mark.filterwarnings("default")
def test_stats_of_the_default_hierarchy_warn_once(cli):
    """Four targets of 20-60 % cannot be disjoint."""
    code, out, err = cli("stats", "hierarchical", "--seed", "0")
    assert code == 0
    assert "level_2" in out
    (line,) = err.splitlines()
    assert line.startswith("maskkit: WARNING: hierarchical: 4 disjoint targets do not fit on level 2")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--input-size", "200"], "input_size must be divisible by patch_size 16, got 200"),
        (["--blocked"], "--blocked is for masks"),
        (["-o", "masks.npy"], "use .npz"),
    ],
)
def test_mistakes_end_in_one_line(cli, arguments, words):
    code, out, err = cli("render", "multi_block", *arguments)
    assert (code, out) == (1, "")
    assert words in err
    assert len(err.splitlines()) == 1
