"""Draw docs/pictures/polarity.svg, README's first picture: one array, as two functions of Torch read it."""

import re
from pathlib import Path

import maskkit
from maskkit.masks.draw.svg import svg

PICTURE = Path(__file__).parent / "pictures" / "polarity.svg"
COLOURS = {"#1b3a6b": "#3b82f6", "#eef1f6": "#94a3b8", "#666": "#7d8590"}
"""What can be seen on white and on black, instead of the colours for paper."""


def picture() -> str:
    """Two masks side by side, without a ground."""
    causal = maskkit.create("causal", seq_len=6)
    panels = [("scaled_dot_product_attention", causal), ("nn.MultiheadAttention", ~causal)]
    parts = []
    for i, (title, mask) in enumerate(panels):
        drawn = svg(mask, title=title).replace("<svg ", f'<svg x="{370 * i}" ', 1)
        drawn = re.sub(r'<rect width="100%" height="100%" fill="#fff"/>', "", drawn)
        drawn = drawn.replace('<text x="12" y="18">', '<text x="12" y="18" font-size="15" fill="#7d8590">')
        drawn = drawn.replace('fill="#eef1f6"/>', 'fill="#eef1f6" fill-opacity=".25"/>')
        for paper, both in COLOURS.items():
            drawn = drawn.replace(paper, both)
        parts.append(drawn)
    frame = '<svg xmlns="http://www.w3.org/2000/svg" width="714" height="370" viewBox="0 0 714 370">'
    return "".join([frame, *parts, "</svg>\n"])


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
