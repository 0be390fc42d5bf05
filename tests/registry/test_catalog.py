"""What is installed, from metadata alone: discovered, listed, switched off, in conflict."""

import pytest
from foreign import GOOD


def test_a_foreign_plugin_is_discovered(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    done = site.maskkit("list", "str*")
    assert "stripes" in done.stdout
    assert "from acme-stripes" in done.stdout
    assert site.maskkit("render", "stripes", "--seq-len", "4").stdout == "┌────┐\n│█ █ │\n│█ █ │\n└────┘\n"


def test_listing_imports_no_plugin(site):
    site.add("acme-stripes", "acme_stripes", "raise SystemExit('imported')", "mask.stripes")
    done = site.maskkit("list")
    assert done.returncode == 0
    assert "stripes" in done.stdout


def test_two_plugins_with_one_name_conflict_whatever_the_order(site):
    for distribution, module in (("zeta-masks", "zeta_masks"), ("acme-stripes", "acme_stripes")):
        site.add(distribution, module, GOOD, "mask.stripes")
    error = site.error_of("stripes")
    assert "acme-stripes 1.0 and zeta-masks 1.0" in error
    assert "MASKKIT_BLOCK=" in error
    assert error.startswith("ConfigError")
    listed = site.maskkit("list", "stripes").stdout
    assert listed.count("conflict") == 2
    assert site.maskkit("doctor").returncode == 1
    assert site.error_of("stripes", MASKKIT_BLOCK="zeta-masks") == ""


def test_one_name_in_two_kinds_is_ambiguous(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    site.add("acme-layers", "acme_layers", "", "attention.stripes")
    error = site.error_of("stripes")
    assert "attention.stripes" in error
    assert "mask.stripes" in error
    assert "full name" in error
    assert site.error_of("mask.stripes") == ""


@pytest.mark.parametrize("block", ["mask.stripes", "acme-stripes", "Acme_Stripes", "x,mask.stripes", "*"])
def test_blocking_switches_off(site, block):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    error = site.error_of("stripes", MASKKIT_BLOCK=block)
    assert "acme-stripes offers it, but MASKKIT_BLOCK switches it off" in error
    assert "blocked" in site.maskkit("list", "stripes", MASKKIT_BLOCK=block).stdout


def test_allowing_some_switches_off_the_others_and_blocking_wins(site):
    site.add("acme-stripes", "acme_stripes", GOOD, "mask.stripes")
    assert site.error_of("stripes", MASKKIT_PLUGINS="acme-stripes") == ""
    assert "MASKKIT_PLUGINS switches it off" in site.error_of("causal", MASKKIT_PLUGINS="acme-stripes")
    assert "switches it off" in site.error_of("stripes", MASKKIT_PLUGINS="")
    both = site.error_of("stripes", MASKKIT_PLUGINS="acme-stripes", MASKKIT_BLOCK="mask.stripes")
    assert "MASKKIT_BLOCK switches it off" in both


def test_a_missing_module_shows_as_broken_in_a_plain_list(site):
    site.add("acme-stripes", "acme_stripes", None, "mask.stripes")
    assert "broken" in site.maskkit("list", "stripes").stdout
