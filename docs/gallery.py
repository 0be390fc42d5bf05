"""Write the tables of masks and strategies under plugins/, with their pictures. Run by `make docs-gallery`."""

import re
import tomllib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import maskkit
from maskkit.configs.describe import Parameter
from maskkit.registry.loader import registry
from maskkit_jepa import MaskBatch

ROOT = Path(__file__).parent.parent
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


class Gallery(NamedTuple):
    """A page with a row for each item of a kind: where it is, what stands above the table, its columns."""

    page: Path
    pictures: Path
    introduction: str
    columns: tuple[str, ...]


GALLERIES = {
    "mask": Gallery(
        page=Path("docs/masks.md"),
        pictures=Path("docs/pictures/masks"),
        introduction="""\
# The masks

Every mask of this repository, each a distribution of its own; `maskkit show NAME` says more, and `maskkit render NAME`
draws others. In the pictures queries run down and keys run right (of segmentation masks: rows and columns of pixels);
dark is allowed. Where a mask is a batch, its samples stand side by side.

Written by `make docs-gallery`; do not edit.""",
        columns=("mask", "what is allowed", "parameters", "category", "reference", "picture"),
    ),
    "strategy": Gallery(
        page=Path("docs/strategies.md"),
        pictures=Path("docs/pictures/strategies"),
        introduction="""\
# The JEPA masking strategies

Every strategy of this repository, each a distribution of its own; `maskkit show NAME` says more, `maskkit render NAME`
draws others, and [jepa.md](jepa.md) says how to train with them. In the pictures the context is blue, the targets have
the other colours, teal is in several targets, and black in nothing; the groups of masks that some strategies draw
stand side by side, and so do the frames of a video where they differ.

Written by `make docs-gallery`; do not edit.""",
        columns=("strategy", "what is predicted from what", "parameters", "reference", "picture"),
    ),
}


@cache
def items(kind: str) -> dict[str, Path]:
    """The names of all items of a kind under plugins/, and their folders."""
    found = {}
    for project in sorted(ROOT.glob("plugins/*/*/pyproject.toml")):
        points = tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("entry-points", {})
        for point in points.get("maskkit", {}):
            own, _, name = point.partition(".")
            if own == kind:
                found[name] = project.parent.relative_to(ROOT)
    return dict(sorted(found.items()))


def files(kind: str) -> dict[Path, str]:
    """What is to be written, by path from the root: the page first, then its pictures."""
    gallery, folders = GALLERIES[kind], items(kind)
    pictures = {gallery.pictures / f"{name}.svg": picture(kind, name) for name in folders}
    rows = [row(kind, *named, *drawn) for named, drawn in zip(folders.items(), pictures.items(), strict=True)]
    table = [gallery.columns, ["---"] * len(gallery.columns), *rows]
    page = "\n".join([gallery.introduction, "", *(f"| {' | '.join(cells)} |" for cells in table), ""])
    return {gallery.page: page, **pictures}


def row(kind: str, name: str, folder: Path, path: Path, svg: str) -> list[str]:
    """The cells of one item, in the order of the columns."""
    info = maskkit.info(name, kind=kind)
    source, width = path.relative_to("docs").as_posix(), min(size(svg)[0] // 2, 320)
    cells = [
        f"[{name}](../{folder.as_posix()})",
        info.summary,
        ", ".join(f"`{parameter(p)}`" for p in info.parameters),
        *([info.category] if "category" in GALLERIES[kind].columns else []),
        ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", info.reference),
        f'<img src="{source}" alt="{name}" width="{width}">',
    ]
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]


def parameter(found: Parameter) -> str:
    """A parameter and its default, if that is short."""
    if found.required:
        return found.name
    default = repr(found.default)
    return f"{found.name}={default if len(default) <= 60 else '...'}"


def picture(kind: str, name: str) -> str:
    """The first sample of the class; the masks of a group side by side."""
    built = maskkit.create(name, kind=kind, **registry.find(name, kind).samples[0])
    if kind == "strategy":
        drawn = built.preview(8)
        return drawn.svg(first_masked(drawn)) + "\n"
    return beside([mask._repr_svg_() for mask in (built if isinstance(built, tuple) else (built,))])


def first_masked(drawn: dict | MaskBatch) -> int:
    """The first image of which something is predicted: `dinov2_block` leaves some whole."""
    batches = drawn.values() if isinstance(drawn, dict) else (drawn,)
    return int(np.all([batch.arrays[1].any(axis=(1, 2)) for batch in batches], axis=0).argmax())


def beside(pictures: list[str]) -> str:
    """Several SVG documents as one, from left to right."""
    if len(pictures) == 1:
        return pictures[0] + "\n"
    parts, left, bottom = [], 0, 0
    for text in pictures:
        parts.append(text.replace("<svg ", f'<svg x="{left}" ', 1))
        width, height = size(text)
        left, bottom = left + width, max(bottom, height)
    frame = f'<svg xmlns="http://www.w3.org/2000/svg" width="{left}" height="{bottom}" viewBox="0 0 {left} {bottom}">'
    return "".join([frame, *parts, "</svg>\n"])


def size(svg: str) -> tuple[int, int]:
    """Width and height of an SVG document, in pixels."""
    width, height = (re.search(rf' {side}="(\d+)"', svg)[1] for side in ("width", "height"))
    return int(width), int(height)


def write(kind: str) -> None:
    """Write what has changed, and take away pictures of items that are gone."""
    wanted = files(kind)
    for path in ROOT.glob(f"{GALLERIES[kind].pictures.as_posix()}/*.svg"):
        if path.relative_to(ROOT) not in wanted:
            path.unlink()
    for path, text in wanted.items():
        update(ROOT / path, text)


def update(path: Path, text: str) -> None:
    """Write a file if that changes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    for kind in GALLERIES:
        write(kind)
