"""The layer that the README writes keeps the contract, as it promises."""

import re
import sys
from pathlib import Path
from types import ModuleType

import maskkit
from maskkit_keras.testing import check_attention

README = Path(__file__).parents[1] / "README.md"


def test_the_readmes_layer_keeps_the_contract(monkeypatch):
    code = re.search(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)[1]
    module = ModuleType("acme_plain._layer")
    monkeypatch.setitem(sys.modules, "acme_plain", ModuleType("acme_plain"))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(code, "README.md", "exec"), module.__dict__)
    with maskkit.register(module.Plain):
        check_attention(module.Plain)
