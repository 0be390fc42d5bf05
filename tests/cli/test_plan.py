"""`maskkit plan`: the table of kernels for a mask and shapes."""

import pytest
import maskkit


def test_the_table_says_which_kernel_and_why(cli):
    code, out, _ = cli(
        "plan", "sliding_window", "--seq-len", "8192", "--window-size", "256", "--heads", "4", "--head-dim", "32"
    )
    assert code == 0
    lines = out.splitlines()
    assert lines[1].startswith("torch on cpu, float32, forward: batch 1, heads 4, 8,192 x 8,192 x 32; pairs allowed: ")
    found = {line.split()[0]: line for line in lines[3:]}
    assert found["area"].endswith("chosen")
    assert found["reference"].endswith("it computes NumPy arrays; give numpy.asarray(query)")


def test_what_changes_the_choice_is_an_option(cli):
    _, out, _ = cli("plan", "causal", "--seq-len", "64", "--dropout", "0.1", "--training")
    assert any(
        line.startswith("area") and line.endswith("it drops nothing; give dropout_p=0.0") for line in out.splitlines()
    )
    assert "training" in out
    _, out, _ = cli("plan", "causal", "--seq-len", "64", "--library", "numpy")
    assert any(line.startswith("reference") and line.endswith("chosen") for line in out.splitlines())


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("spatial", "--height", "4", "--width", "4"), "no picture|no mask of queries and keys|ambiguous"),
        (("causal", "--seq-len", "8", "--kv-heads", "3"), "--heads must be a multiple of --kv-heads, got 8 and 3"),
        (("causal", "--seq-len", "8", "--kernel", "nothing"), "pip install maskkit-kernel-nothing"),
        (("causal", "--seq-len", "8", "--library", "mxnet"), "no kernel fits attention on mxnet"),
    ],
)
def test_what_cannot_be_planned_is_said(cli, args, words):
    code, _, err = cli("plan", *args)
    assert code == 1
    assert pytest.importorskip("re").search(words, err)


def test_a_window_over_ranks_needs_the_keys_of_one_window_where_a_gather_takes_all(cli):
    code, out, _ = cli("plan", "sliding_window", "--seq-len", "131072", "--window-size", "1024", "--ranks", "8")
    rows = {line[:30].split()[1]: line for line in out.splitlines()[3:]}
    assert code == 0
    assert " 1,023 " in rows["contiguous"]
    assert " 114,688 " in rows["all-gather"]


@pytest.mark.parametrize("ranks", ["0", "8,x", ""])
def test_ranks_that_are_no_numbers_are_refused(cli, ranks):
    code, _, err = cli("plan", "causal", "--seq-len", "64", "--ranks", ranks)
    assert code
    assert "--ranks must be positive numbers" in err


def test_a_kernel_whose_library_is_not_installed_says_so(cli, monkeypatch):
    def fits(self, problem):
        raise ModuleNotFoundError("No module named 'tenserflow'", name="tenserflow")

    monkeypatch.setattr(maskkit.find("area", "kernel"), "fits", fits)
    _, said, _ = cli("plan", "causal", "--seq-len", "48")
    assert "tenserflow is not installed: pip install tenserflow" in said
    assert "chosen" in said
