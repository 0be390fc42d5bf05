"""What is ours and not installed is told apart from what there is not: the error says how to get it."""

import pytest

ONLY_CAUSAL = """
    import importlib.metadata as metadata
    everything = metadata.entry_points
    metadata.entry_points = lambda **group: [p for p in everything(**group) if p.name == "mask.causal"]
"""


def said(site, *args):
    """What the command line says where the causal mask alone is installed."""
    done = site.run(f"{ONLY_CAUSAL}\n    from maskkit.cli import main; main({list(args)!r})")
    assert done.returncode == 1
    return done.stderr.removeprefix("maskkit: ").rstrip()


BIGBIRD = "'bigbird' is not installed: pip install maskkit-mask-bigbird, or 'maskkit[masks]'"
BANDED = "'banded' is not installed: pip install maskkit-mask-banded, or 'maskkit[masks]'"


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["render", "bigbird"], BIGBIRD),
        (["render", "bigbird", "--block-size", "2"], BIGBIRD),
        (["show", "mask.bigbird"], BIGBIRD),
        (["show", "multi_head"], "not installed: pip install maskkit-attention-multi-head, or 'maskkit[layers]'"),
        (["show", "spatial"], "pip install maskkit-mask-spatial, or maskkit-attention-spatial, or 'maskkit[masks]'"),
        (["render", "bigbrd"], "Unknown item 'bigbrd'; did you mean 'bigbird'? (1 installed"),
        (["audit", "module:model"], "'audit' is not installed: pip install maskkit-audit, or 'maskkit[tools]'"),
    ],
)
def test_the_command_line_says_how_to_install(site, args, words):
    assert words in said(site, *args)


def test_all_that_is_missing_is_named_and_nothing_else(site):
    """The length was given, though not every option could be read."""
    expression = "causal & (bigbird | ~banded(band_width=3))"
    expected = f"the config has 2 problems: {BIGBIRD}; {BANDED}"
    assert said(site, "render", expression, "--seq-len", "8") == expected


def test_a_form_says_how_to_install(site):
    code = f"{ONLY_CAUSAL}\n    import maskkit; maskkit.create('causal', seq_len=3).export('magi')"
    assert "'magi' is not installed: pip install maskkit-magi, or 'maskkit[exports]'" in site.run(code).stderr
