"""A kind of item that maskkit does not have: additive biases of attention scores."""

from typing import Any

import numpy as np
from attrs import field, frozen
from maskkit import Item, Kind, hookimpl, positive

SHADES = "█▓▒░ "


class Bias(Item):
    """Base of the kind: `values()` is what is added to the scores, (heads, queries, keys)."""

    kind = "bias"

    def values(self):
        raise NotImplementedError

    def build(self):
        return self.values()

    def picture(self, *, blocked=False):
        return BiasPicture(self, -self.values() if blocked else self.values())

    def measure(self, block_size=None):
        return BiasMeasures(self)


class BiasPicture:
    """Of the first head: the darker, the less a score loses."""

    notes = ()

    def __init__(self, item, values):
        self.item, self.all, self.first = item, values, values[0]

    def text(self, width):
        shares = self.first / min(self.first.min(), -1e-9)
        return "\n".join("".join(SHADES[int(4 * share)] for share in row[:width]) for row in shares)

    def svg(self):
        height, width = self.first.shape
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><title>{self.item!r}</title></svg>'
        )

    def figure(self):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().imshow(self.first)
        return figure

    def arrays(self):
        return {"bias": self.all}


class BiasMeasures:
    """How far the bias reaches down."""

    notes = ()

    def __init__(self, item):
        self.item = item

    def to_dict(self):
        values = self.item.values()
        return {"heads": len(values), "least": float(values.min())}

    def text(self, width):
        return "\n".join([repr(self.item), *(f"  {name:<22} {value}" for name, value in self.to_dict().items())])


@frozen(kw_only=True)
class Alibi(Bias):
    """The score of a key falls with its distance, in every head at another rate.

    Source: Press et al. 2022 (ALiBi), arXiv:2108.12409, section 3.

    Attributes:
        seq_len: number of tokens, queries and keys alike.
        num_heads: number of heads, a power of 2 in the paper.
    """

    name = "alibi"
    samples = (dict(seq_len=8, num_heads=2),)
    seq_len: int = field(validator=positive)
    num_heads: int = field(default=8, validator=positive)

    def values(self) -> Any:
        slopes = 2.0 ** (-8 / self.num_heads * np.arange(1, self.num_heads + 1))
        token = np.arange(self.seq_len)
        return -slopes[:, None, None] * np.abs(token[:, None] - token)


@hookimpl
def maskkit_kinds():
    return [Kind("bias", Bias, "acme_biases")]


@hookimpl
def acme_biases():
    return [Alibi]
