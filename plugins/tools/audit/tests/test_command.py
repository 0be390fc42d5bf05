"""`maskkit audit MODULE:FACTORY`."""

import json
import subprocess
import sys

import pytest
from maskkit.cli import run

MODELS = """
from maskkit_audit.museum import one_token_ahead, packed_documents


def broken():
    return one_token_ahead()


def mended():
    return one_token_ahead(mended=True)


def pair():
    return mended()["model"], mended()["inputs"]


def sized(seq_len):
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    return LlamaForCausalLM(LlamaConfig(vocab_size=60, max_position_embeddings=seq_len, **sizes))


def needs(width, depth=1):
    pass


def bare():
    return mended()["model"]


def other():
    return dict(model=mended()["model"], inputs=mended()["inputs"], expect=None)
"""


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    sys.modules.pop("my_models", None)


def test_a_model_without_leaks(capsys):
    assert run(["audit", "my_models:mended"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("Toy: 1 attention of 1 kind, no leak found\n")
    assert "\n  causal\n" in out
    assert "│█▄" in out


def test_a_leak_is_said_and_is_the_exit_code(capsys):
    assert run(["audit", "my_models:broken"]) == 1
    assert "LEAK future: 11 pairs against causal: query 0 sees key 1" in capsys.readouterr().out


def test_what_is_wanted_can_be_said(capsys):
    assert run(["audit", "my_models:pair", "--expect", "sliding_window(window_size=3)"]) == 1
    assert "LEAK" in capsys.readouterr().out


def test_inputs_are_made_for_transformers(capsys):
    assert run(["audit", "my_models:sized", "--seq-len", "20"]) == 0
    out = capsys.readouterr().out
    assert "model.layers.0.self_attn" in out
    assert "20 x 20" in out


@pytest.mark.parametrize("suffix", ["html", "json", "png", "txt"])
def test_files(suffix, models, capsys):
    assert run(["audit", "my_models:mended", "-o", f"report.{suffix}"]) == 0
    written = models / f"report.{suffix}"
    assert written.stat().st_size > 500
    assert [path.name for path in models.glob("*report*")] == [written.name]
    assert f"wrote report.{suffix}" in capsys.readouterr().err
    if suffix == "json":
        assert json.loads(written.read_text())["attentions"][0]["expression"] == "causal"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["my_models:needs"], "my_models:needs needs width; give a function without arguments"),
        (["my_models:nothing"], "module 'my_models' has no 'nothing'; it has"),
        (["my_models"], "'my_models' must be MODULE:FACTORY"),
        (["no_such_module:x"], "no module named 'no_such_module'"),
        (["my_models:bare"], "which inputs Toy takes is not known; let the function give (model, inputs)"),
        (["my_models:mended", "-o", "x.pdf"], "unknown suffix '.pdf'; use one of .html, .json, .png, .txt"),
        (["my_models:mended", "--expect", "causal(seq_len=5)"], "is of 5 x 5"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert run(["audit", *arguments]) == 1
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_the_command_loads_no_library_before_it_runs():
    libraries = "{'torch', 'jax', 'keras'} & set(sys.modules)"
    code = f"import sys; from maskkit.cli import run; run(['list', 'causal']); print({libraries})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
