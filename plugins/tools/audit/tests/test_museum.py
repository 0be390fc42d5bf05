"""Every exhibit of the museum: the audit finds the bug, names its kind, and finds nothing in the mended model."""

import pytest
from maskkit_audit import audit
from maskkit_audit.museum import EXHIBITS

NAMES = sorted(EXHIBITS)


@pytest.mark.parametrize("name", NAMES)
def test_the_bug_is_found_and_named(name):
    exhibit = EXHIBITS[name]
    assert audit(**exhibit.make()).kinds == {exhibit.kind}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_in_the_mended_model(name):
    report = audit(**EXHIBITS[name].make(mended=True))
    assert not report.leaks, report
    assert not any("gradients say more" in note for note in report.notes)


def test_there_are_at_least_twelve():
    assert len(EXHIBITS) >= 12
    assert all("#" in exhibit.seen for exhibit in EXHIBITS.values())
