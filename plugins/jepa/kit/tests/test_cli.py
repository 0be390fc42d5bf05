"""Strategies on the command line: drawn in the terminal and into files, and counted."""

import json
import xml.etree.ElementTree as ElementTree

import matplotlib.image
import numpy as np
import pytest
import maskkit
from maskkit.cli import run

SMALL = ["multi_block", "--input-size", "32", "--patch-size", "8", "--num-target-masks", "1", "--seed", "0"]
SMALL += ["--target-scale", "0.2,0.3"]


@pytest.fixture
def cli(capsys, monkeypatch, tmp_path):
    """Runs a command line: (exit code, stdout, stderr)."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def call(*args):
        code = run(list(args))
        done = capsys.readouterr()
        return code, done.out, done.err

    return call


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
    code, out, err = cli("render", "multi_block", "--input-size", "224", "--patch-size", "16", "-o", "masks.png")
    assert (code, out, err) == (0, "", "wrote masks.png\n")
    picture = matplotlib.image.imread(tmp_path / "masks.png")
    assert picture.shape[0] > 300
    assert len(np.unique(picture[..., :3].reshape(-1, 3), axis=0)) > 5


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
    code, out, err = cli("stats", "hierarchical")
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
