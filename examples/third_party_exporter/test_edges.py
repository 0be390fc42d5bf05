"""Edges: the contract, and the facts."""

from acme_edges import Edges
import maskkit
from maskkit.testing import check_exporter


def test_contract():
    check_exporter(Edges(), meaning=lambda form, mask: Edges().read(form, *mask.shape).allowed())


def test_a_causal_mask_has_edges_from_the_past():
    mask = maskkit.from_array([[True, False], [True, True]], true="allowed")
    assert Edges().export(mask).tolist() == [[0, 0, 1], [0, 1, 1]]
