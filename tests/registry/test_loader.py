"""Plugins are imported one at a time, and a broken one takes nobody down."""

import pytest
from foreign import GOOD


def test_creating_imports_that_one_plugin(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    site.add("acme-other", "acme_other", "raise RuntimeError('not me')", "mask.other")
    done = site.run("""
        import sys, maskkit
        maskkit.create("stripes", seq_len=4)
        print([m for m in sys.modules if m.startswith(("acme", "maskkit_"))])
    """)
    assert done.stdout.strip() == "['acme_stripes']"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("def broken(:", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "has no maskkit_masks"),
        (GOOD.replace("@hookimpl", ""), "has no maskkit_masks"),
        (GOOD.replace("return [Stripes]", "return 3"), "returned 3; it must return a list"),
        (GOOD.replace("return [Stripes]", "return None"), "returned None"),
        (GOOD.replace("return [Stripes]", "return ['stripes']"), "not a class that derives"),
        (GOOD.replace("return [Stripes]", "return [Stripes(seq_len=3)]"), "not a class that derives"),
        (GOOD.replace("return [Stripes]", "return []"), "offers nothing named 'stripes'"),
        (GOOD.replace("return [Stripes]", "raise KeyError('x')"), "KeyError: 'x'"),
        (GOOD.replace('name = "stripes"', 'name = "stripe"'), "offers nothing named 'stripes'"),
        (GOOD.replace("@frozen(kw_only=True)", ""), "not decorated with @attrs.frozen"),
        (GOOD.replace("def maskkit_masks()", "def maskkit_masks(extra)"), "extra"),
        (None, "No module named 'acme_stripes'"),
    ],
)
def test_a_broken_plugin_takes_nobody_down(site, source, why):
    """Asking for it re-raises with the cause; everybody else goes on; the doctor knows."""
    site.add("acme-stripes", "acme_stripes", source, "mask.stripes")
    error = site.error_of("stripes")
    assert error.startswith("BrokenPlugin | plugin mask.stripes of acme-stripes 1.0 is broken: ")
    assert why in error
    assert "pip uninstall acme-stripes, or MASKKIT_BLOCK=mask.stripes" in error
    assert site.maskkit("render", "causal", "--seq-len", "2").returncode == 0
    doctor = site.maskkit("doctor")
    assert doctor.returncode == 1
    assert doctor.stdout.count("plugin mask.stripes of acme-stripes 1.0 is broken: ") == 1
    assert why in doctor.stdout
    assert doctor.stdout.splitlines()[-1].endswith(" plugins are broken: mask.stripes")
    listed = site.maskkit("list", "stripes", "--check").stdout
    assert "broken" in listed


def test_the_cause_of_a_broken_plugin_is_chained(site):
    site.add("acme-stripes", "acme_stripes", "raise RuntimeError('boom')", "mask.stripes")
    assert "RuntimeError('boom')" in site.error_of("stripes").splitlines()[-1]
    line = site.maskkit("render", "stripes")
    assert line.returncode == 1
    assert line.stderr.count("\n") == 1
    assert "RuntimeError: boom" in line.stderr
    debug = site.maskkit("--debug", "render", "stripes").stderr
    assert "Traceback" in debug
