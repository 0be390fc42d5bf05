"""Kinds that strangers bring: their items are found, listed, built and held to the kind's base."""

import pytest
from foreign import GOOD

KIND = """
from attrs import frozen
from maskkit import Item, Kind, hookimpl

class Probe(Item):
    kind = "probe"

@hookimpl
def maskkit_kinds():
    return [Kind("probe", Probe, "maskkit_probes")]
"""

ITEM = """
from acme_kind import Probe
from attrs import field, frozen
from maskkit import Item, hookimpl, positive

@frozen(kw_only=True)
class Depth(Probe):
    '''How deep it is.

    Attributes:
        metres: below the surface.
    '''
    name = "depth"
    samples = (dict(metres=3),)
    metres: int = field(validator=positive)

@hookimpl
def maskkit_probes():
    return [Depth]
"""


@pytest.fixture
def probes(site):
    site.add("acme-kind", "acme_kind", KIND, "kind.probe")
    site.add("acme-depth", "acme_depth", ITEM, "probe.depth")
    return site


def said(site, code, **env):
    """What the code prints, whose last line may raise one of maskkit's errors."""
    *lines, last = code.strip().splitlines()
    body = "\n".join(["import maskkit, sys", *map(str.strip, lines)])
    done = site.run(
        f"{body}\ntry:\n    {last.strip()}\n"
        "except maskkit.MaskkitError as error:\n    print(type(error).__name__, '|', error)",
        **env,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip()


def test_items_of_a_kind_are_named_without_importing_anything(probes):
    assert said(probes, "print(maskkit.names('probe'), 'acme_kind' in sys.modules)") == "['depth'] False"
    assert "probe.depth" in said(probes, "print(maskkit.names())")
    assert "kind.probe" not in said(probes, "print(maskkit.names())")


@pytest.mark.parametrize("call", ["'depth'", "'probe.depth'", "'depth', kind='probe'", "{'type': 'depth'}"])
def test_an_item_is_built(probes, call):
    assert said(probes, f"print(maskkit.create({call}, metres=2))") == "Depth(metres=2)"


def test_an_item_is_checked_saved_and_described(probes):
    error = said(probes, "maskkit.create('depth', metres=-1)")
    assert error == "ConfigError | metres must be positive, got -1"
    assert said(probes, "print(maskkit.to_dict(maskkit.create('depth', metres=2)))") == "{'type': 'depth', 'metres': 2}"
    assert said(probes, "print(maskkit.info('depth').parameters[0].help)") == "below the surface."


def test_an_unknown_item_of_a_kind_says_the_nearest(probes):
    error = said(probes, "maskkit.create('dept', kind='probe')")
    assert error.startswith("UnknownName | Unknown probe 'dept'; did you mean 'depth'? (1 installed: maskkit list")


def test_items_are_listed_and_drawn_only_if_they_can_be(probes):
    listed = probes.maskkit("list", "--kind", "probe").stdout
    assert "depth" in listed
    assert "from acme-depth" in listed
    drawn = probes.maskkit("render", "depth", "--metres", "2")
    assert drawn.returncode == 1
    assert "depth has no picture" in drawn.stderr


@pytest.mark.parametrize(
    ("source", "why"),
    [
        (
            ITEM.replace("class Depth(Probe)", "class Depth(Item)").replace("name =", "kind = 'probe'; name ="),
            "Depth does not derive from Probe",
        ),
        (ITEM.replace("name =", "kind = 'mask'; name ="), "Depth is of kind 'mask', not 'probe'"),
        (
            ITEM.replace("maskkit_probes", "maskkit_masks"),
            "TypeError: it has no maskkit_probes marked with @maskkit.hookimpl",
        ),
        (ITEM.replace("return [Depth]", "return []"), "its maskkit_probes offers nothing named 'depth'"),
    ],
)
def test_an_item_that_is_not_of_its_kind_is_refused(site, source, why):
    site.add("acme-kind", "acme_kind", KIND, "kind.probe")
    site.add("acme-depth", "acme_depth", source, "probe.depth")
    error = said(site, "maskkit.create('depth', metres=2)")
    assert error.startswith(f"BrokenPlugin | plugin probe.depth of acme-depth 1.0 is broken: {why}")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("return [Kind", "return [] and [Kind"), "must give one Kind named 'probe', got []"),
        (('Kind("probe"', 'Kind("prob"'), "must give one Kind named 'probe', got [Kind(name='prob'"),
        (('[Kind("probe", Probe, "maskkit_probes")]', "['probe']"), "must give one Kind named 'probe', got ['probe']"),
        (("Probe, ", "dict, "), "the base of its kind must derive from maskkit.Item, got <class 'dict'>"),
        (("Probe, ", "'Probe', "), "the base of its kind must derive from maskkit.Item, got 'Probe'"),
        (("from attrs", "from no_such_module"), "No module named 'no_such_module'"),
    ],
)
def test_a_broken_kind_takes_nobody_down(probes, change, why):
    module = probes.folder / "acme_kind.py"
    module.write_text(module.read_text().replace(*change))
    error = said(probes, "maskkit.create('depth', metres=2)")
    assert error.startswith("BrokenPlugin | plugin kind.probe of acme-kind 1.0 is broken: ")
    assert why in error
    assert said(probes, "print(maskkit.create('causal', seq_len=2).shape)") == "(2, 2)"
    doctor = probes.maskkit("doctor")
    assert doctor.returncode == 1
    assert "plugin kind.probe of acme-kind 1.0 is broken: " in doctor.stdout


def test_two_providers_of_one_kind_conflict(probes):
    probes.add("zeta-kind", "zeta_kind", KIND, "kind.probe")
    error = said(probes, "maskkit.create('depth', metres=2)")
    assert error.startswith("ConfigError | kind.probe is offered by acme-kind 1.0 and zeta-kind 1.0; uninstall one, or")
    assert said(probes, "print(maskkit.create('depth', metres=2))", MASKKIT_BLOCK="zeta-kind") == "Depth(metres=2)"


@pytest.mark.parametrize("block", ["kind.probe", "acme-kind"])
def test_a_kind_may_be_switched_off(probes, block):
    error = said(probes, "maskkit.create('depth', metres=2)", MASKKIT_BLOCK=block)
    assert error.startswith("UnknownName | Unknown item 'kind.probe': acme-kind offers it, but MASKKIT_BLOCK switches")


def test_an_item_of_a_kind_that_nobody_brings_is_no_item(site):
    site.add("acme-depth", "acme_depth", ITEM, "probe.depth")
    assert said(site, "maskkit.names('probe')").startswith("ConfigError | kind must be one of 'mask', 'attention'")


def test_a_class_of_the_kind_is_registered_by_hand(probes):
    lines = """
    from acme_kind import Probe
    from attrs import frozen
    Width = frozen(kw_only=True)(type("Width", (Probe,), {"name": "width", "__annotations__": {}}))
    maskkit.register(Width)
    print(maskkit.names("probe"), maskkit.create("width"))
    """
    assert said(probes, lines) == "['depth', 'width'] Width()"


# -- modules of backends and of commands ------------------------------------------------------------------------------


def test_modules_are_loaded_only_for_their_hook(site):
    site.add("acme-form", "acme_form", "print('form imported')", "backend.form")
    site.add("acme-tool", "acme_tool", "print('tool imported')", "command.tool")
    site.add("acme-both", "acme_both", "print('both imported')", "acme-both")
    loaded = {
        "maskkit.create('causal', seq_len=2).allowed('numpy')": "",
        "maskkit.create('causal', seq_len=2).allowed('torch')": "",
        "maskkit.create('causal', seq_len=2).allowed('form')": "form both",
    }
    for code, words in loaded.items():
        out = said(site, f"sys.stderr = sys.stdout\n{code}")
        assert {word for word in ("form", "tool", "both") if f"{word} imported" in out} == set(words.split()), code
    out = site.maskkit("list", "causal").stdout
    assert "imported" not in out
    out = site.maskkit("--help").stderr
    assert {word for word in ("form", "tool", "both") if f"{word} imported" in out} == {"tool", "both"}


def test_a_module_with_a_prefix_gives_nothing_else(site):
    """A command of a module that says it is a backend does not join, and is not run; the doctor misses the backend."""
    source = GOOD.replace("maskkit_masks", "maskkit_commands").replace("return [Stripes]", "raise RuntimeError('boom')")
    site.add("acme-form", "acme_form", source, "backend.form")
    assert site.maskkit("list", "causal").stderr == ""
    doctor = site.maskkit("doctor")
    assert doctor.returncode == 1
    assert "TypeError: it has no maskkit_backends marked with @maskkit.hookimpl" in doctor.stdout
    assert "boom" not in doctor.stdout


@pytest.mark.parametrize(
    ("point", "hook"),
    [
        ("backend.form", "maskkit_backends"),
        ("command.tool", "maskkit_commands"),
        ("acme", "maskkit_commands"),
    ],
)
def test_the_doctor_asks_the_hook_of_a_module(site, point, hook):
    source = GOOD.replace("maskkit_masks", hook).replace("return [Stripes]", "raise RuntimeError('boom')")
    site.add("acme", "acme", source, point)
    doctor = site.maskkit("doctor")
    assert doctor.returncode == 1
    assert f"plugin {point} of acme 1.0 is broken: " in doctor.stdout
    assert "RuntimeError: boom" in doctor.stdout
