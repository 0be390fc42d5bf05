"""The examples of a stranger's packages: installed as a stranger would, found, shown, drawn, measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


PACKAGES = sorted(path.parent.name for path in EXAMPLES.glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """An environment in which all of them are installed, in a folder of their own."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), *(str(EXAMPLES / name) for name in PACKAGES)], check=True)
    return {**os.environ, "PYTHONPATH": str(folder)}


def maskkit(env, *args):
    done = subprocess.run(
        [sys.executable, "-m", "maskkit", *args], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_tests_of_every_example_pass(site, tmp_path):
    options = ["-q", "-p", "no:cacheprovider", "--import-mode=importlib", f"--junitxml={tmp_path / 'report.xml'}"]
    command = [sys.executable, "-m", "pytest", *options, *(str(EXAMPLES / name) for name in PACKAGES)]
    done = subprocess.run(command, capture_output=True, text=True, env=site, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stdout
    passed = {name for name in PACKAGES if f"{name}." in (tmp_path / "report.xml").read_text()}
    assert passed == set(PACKAGES)


# -- a mask -----------------------------------------------------------------------------------------------------------


def test_a_mask_is_listed_with_its_provider(site):
    assert "acme-checkerboard" in maskkit(site, "list", "checkerboard")


def test_a_mask_draws(site):
    assert maskkit(site, "render", "checkerboard", "--seq-len", "4") == "┌────┐\n│▀▄▀▄│\n│▀▄▀▄│\n└────┘\n"


def test_a_mask_combines_with_ours(site):
    drawn = maskkit(site, "render", "causal & checkerboard(square=2)", "--seq-len", "4")
    assert drawn == "┌────┐\n│█   │\n│ ▄█ │\n└────┘\n"


# -- a kernel ---------------------------------------------------------------------------------------------------------


def test_a_kernel_is_listed_with_its_provider(site):
    rows = json.loads(maskkit(site, "list", "--kind", "kernel", "--json"))
    assert ("kernel.rows", "acme-rows", "ok") in [(row["full_name"], row["provider"], row["status"]) for row in rows]


def test_a_kernel_is_asked_for_its_cost(site):
    [line] = [line for line in maskkit(site, "plan", "causal", "--seq-len", "64").splitlines() if "rows " in line]
    assert line.split()[1:4] == ["0.66", "ms", "32,768"]


def test_a_kernel_is_taken_by_name(site):
    code = (
        "import maskkit, torch; q = torch.randn(1, 2, 9, 4); mask = maskkit.create('causal', seq_len=9)\n"
        "assert maskkit.plan(mask, q, q, q, kernel='rows').kernel.name == 'rows'\n"
        "torch.testing.assert_close(maskkit.attend(q, q, q, mask, kernel='rows'), maskkit.attend(q, q, q, mask))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=site)


# -- a kind that we do not have ---------------------------------------------------------------------------------------


def test_a_kind_is_listed(site):
    rows = json.loads(maskkit(site, "list", "--kind", "bias", "--json"))
    assert [(row["full_name"], row["provider"], row["status"]) for row in rows] == [("bias.alibi", "acme-bias", "ok")]
    assert "kind.bias" not in maskkit(site, "list")


def test_an_item_of_it_is_shown_with_its_parameters(site):
    shown = maskkit(site, "show", "alibi")
    assert shown.startswith("bias.alibi: The score of a key falls with its distance")
    assert "num_heads" in shown
    assert "arXiv:2108.12409" in shown


def test_an_item_of_it_is_rendered(site, tmp_path):
    """In the terminal, and into every kind of file."""
    assert maskkit(site, "render", "alibi", "--seq-len", "4", "--num-heads", "1") == "█▓▒ \n▓█▓▒\n▒▓█▓\n ▒▓█\n"
    for suffix in ("png", "svg", "txt", "npy", "npz", "json"):
        path = tmp_path / f"alibi.{suffix}"
        maskkit(site, "render", "alibi", "--seq-len", "4", "-o", str(path))
        assert path.stat().st_size > 0
    assert json.loads((tmp_path / "alibi.json").read_text()) == {"type": "alibi", "seq_len": 4, "num_heads": 8}


def test_an_item_of_it_is_measured(site):
    assert json.loads(maskkit(site, "stats", "alibi", "--seq-len", "5", "--json")) == {"heads": 8, "least": -2.0}
    assert "least                  -2.0" in maskkit(site, "stats", "alibi", "--seq-len", "5")


def test_the_doctor_looks_at_both(site):
    report = json.loads(maskkit(site, "doctor", "--json"))
    status = {row["full_name"]: row["status"] for row in report["plugins"]}
    assert status["kind.bias"] == status["bias.alibi"] == "loaded"


# -- a layer, a strategy, a form --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "provider"), [("attention.cosine", "acme-cosine"), ("strategy.halves", "acme-halves")]
)
def test_layers_and_strategies_are_shown_with_their_provider(site, name, provider):
    assert provider in maskkit(site, "show", name)


def test_a_strategy_is_drawn(site):
    assert "1111" in maskkit(site, "render", "halves", "--seed", "0")


def test_a_form_is_asked_for_by_name(site):
    code = "import maskkit; print(maskkit.create('causal', seq_len=2).export('edges').tolist())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=site)
    assert done.stdout == "[[0, 0, 1], [0, 1, 1]]\n"
