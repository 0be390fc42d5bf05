"""Every strategy that is installed keeps the contract."""

import pytest
import maskkit
from maskkit.jepa import Sampler
from maskkit.jepa.testing import check_strategy
from maskkit.registry import registry


@pytest.mark.parametrize("name", maskkit.names("strategy"))
def test_contract(name):
    check_strategy(registry.find(f"strategy.{name}"))


def test_there_are_strategies():
    assert {"hierarchical", "multi_block"} <= set(maskkit.names("strategy"))


@pytest.mark.parametrize("name", maskkit.names("strategy"))
def test_the_summary_in_the_metadata_is_the_modules_first_line(name):
    """`maskkit list` shows the distribution's summary; it should not differ from the documentation."""
    entry = registry.entry(f"strategy.{name}")
    module = __import__(registry.find(f"strategy.{name}").__module__)
    assert entry.summary == module.__doc__.partition("\n")[0].rstrip(".")


def test_a_strategy_without_a_sampler_class_says_what_it_needs():
    from attrs import frozen
    from maskkit import Strategy

    @frozen(kw_only=True)
    class Bare(Strategy):
        """Nothing."""

        name = "bare"

    with pytest.raises(NotImplementedError, match="Bare needs sampler_class, such as"):
        Bare().build()
    with pytest.raises(NotImplementedError, match="Bare must define grid"):
        _ = Bare().grid
    with pytest.raises(NotImplementedError, match="must define draw"):
        Sampler(Bare()).draw(None, None)
