"""The examples of a stranger's packages: installed as a stranger would, found, shown, drawn, measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def installed(example: str, folder: Path) -> dict[str, str]:
    """An environment in which the package is installed, in a folder of its own."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(folder), str(EXAMPLES / example)], check=True)
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    return installed("third_party_mask", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def kind(tmp_path_factory):
    return installed("third_party_kind", tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    return installed("third_party_kernel", tmp_path_factory.mktemp("site"))


def maskkit(env, *args):
    done = subprocess.run(
        [sys.executable, "-m", "maskkit", *args], capture_output=True, text=True, env=env, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_own_tests(env, example):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLES / example)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=EXAMPLES / example, check=False)
    assert "2 passed" in done.stdout, done.stdout


# -- a mask -----------------------------------------------------------------------------------------------------------


def test_a_mask_is_listed_with_its_provider(mask):
    assert "acme-checkerboard" in maskkit(mask, "list", "checkerboard")


def test_a_mask_draws(mask):
    assert maskkit(mask, "render", "checkerboard", "--seq-len", "4") == "┌────┐\n│▀▄▀▄│\n│▀▄▀▄│\n└────┘\n"


def test_a_mask_combines_with_ours(mask):
    drawn = maskkit(mask, "render", "causal & checkerboard(square=2)", "--seq-len", "4")
    assert drawn == "┌────┐\n│█   │\n│ ▄█ │\n└────┘\n"


def test_its_own_tests_pass(mask):
    check_own_tests(mask, "third_party_mask")


# -- a kernel ---------------------------------------------------------------------------------------------------------


def test_a_kernel_is_listed_with_its_provider(kernel):
    rows = json.loads(maskkit(kernel, "list", "--kind", "kernel", "--json"))
    assert ("kernel.rows", "acme-rows", "ok") in [(row["full_name"], row["provider"], row["status"]) for row in rows]


def test_a_kernel_is_asked_for_its_cost(kernel):
    [line] = [line for line in maskkit(kernel, "plan", "causal", "--seq-len", "64").splitlines() if "rows " in line]
    assert line.split()[1:4] == ["0.66", "ms", "32,768"]


def test_a_kernel_is_taken_by_name(kernel):
    code = (
        "import maskkit, torch; q = torch.randn(1, 2, 9, 4); mask = maskkit.create('causal', seq_len=9)\n"
        "assert maskkit.plan(mask, q, q, q, kernel='rows').kernel.name == 'rows'\n"
        "torch.testing.assert_close(maskkit.attend(q, q, q, mask, kernel='rows'), maskkit.attend(q, q, q, mask))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=kernel)


def test_the_tests_of_a_kernel_pass(kernel):
    check_own_tests(kernel, "third_party_kernel")


# -- a kind that we do not have ---------------------------------------------------------------------------------------


def test_a_kind_is_listed(kind):
    rows = json.loads(maskkit(kind, "list", "--kind", "bias", "--json"))
    assert [(row["full_name"], row["provider"], row["status"]) for row in rows] == [("bias.alibi", "acme-bias", "ok")]
    assert "kind.bias" not in maskkit(kind, "list")


def test_an_item_of_it_is_shown_with_its_parameters(kind):
    shown = maskkit(kind, "show", "alibi")
    assert shown.startswith("bias.alibi: The score of a key falls with its distance")
    assert "num_heads" in shown
    assert "arXiv:2108.12409" in shown


def test_an_item_of_it_is_rendered(kind, tmp_path):
    """In the terminal, and into every kind of file."""
    assert maskkit(kind, "render", "alibi", "--seq-len", "4", "--num-heads", "1") == "█▓▒ \n▓█▓▒\n▒▓█▓\n ▒▓█\n"
    for suffix in ("png", "svg", "txt", "npy", "npz", "json"):
        path = tmp_path / f"alibi.{suffix}"
        maskkit(kind, "render", "alibi", "--seq-len", "4", "-o", str(path))
        assert path.stat().st_size > 0
    assert json.loads((tmp_path / "alibi.json").read_text()) == {"type": "alibi", "seq_len": 4, "num_heads": 8}


def test_an_item_of_it_is_measured(kind):
    assert json.loads(maskkit(kind, "stats", "alibi", "--seq-len", "5", "--json")) == {"heads": 8, "least": -2.0}
    assert "least                  -2.0" in maskkit(kind, "stats", "alibi", "--seq-len", "5")


def test_the_doctor_looks_at_both(kind):
    report = json.loads(maskkit(kind, "doctor", "--json"))
    status = {row["full_name"]: row["status"] for row in report["plugins"]}
    assert status["kind.bias"] == status["bias.alibi"] == "loaded"


def test_the_tests_of_a_kind_pass(kind):
    check_own_tests(kind, "third_party_kind")
