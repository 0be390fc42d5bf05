"""Write masks.md and pictures/masks/*.svg from the registry: every mask under plugins/. Run by `make docs-gallery`."""

import re
import tomllib
from pathlib import Path

import maskkit
from maskkit.registry import registry

ROOT = Path(__file__).parent.parent
PICTURES = Path("docs/pictures/masks")
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")

INTRODUCTION = """\
# The masks

Every mask of this repository, each a distribution of its own; `maskkit show NAME` says more, and `maskkit render NAME`
draws others. In the pictures queries run down and keys run right (of segmentation masks: rows and columns of pixels);
dark is allowed. Where a mask is a batch, its samples stand side by side.

Written by `make docs-gallery`; do not edit."""


def masks() -> dict[str, Path]:
    """The names of all masks under plugins/, and their folders."""
    found = {}
    for project in sorted(ROOT.glob("plugins/*/*/pyproject.toml")):
        points = tomllib.loads(project.read_text(encoding="utf-8"))["project"].get("entry-points", {})
        for point in points.get("maskkit", {}):
            kind, _, name = point.partition(".")
            if kind == "mask":
                found[name] = project.parent.relative_to(ROOT)
    return dict(sorted(found.items()))


def files() -> dict[Path, str]:
    """What is to be written, by path from the root: the page and its pictures."""
    folders = masks()
    pictures = {PICTURES / f"{name}.svg": picture(name) for name in folders}
    return {Path("docs/masks.md"): page(folders, pictures), **pictures}


def page(folders: dict[str, Path], pictures: dict[Path, str]) -> str:
    """The table, one row for each mask."""
    titles = ("mask", "what is allowed", "parameters", "category", "reference", "picture")
    rows = [titles, ["---"] * len(titles), *map(row, folders, folders.values(), pictures.items())]
    return "\n".join([INTRODUCTION, "", *(f"| {' | '.join(cells)} |" for cells in rows), ""])


def row(name: str, folder: Path, picture: tuple[Path, str]) -> list[str]:
    """The cells of one mask."""
    info = maskkit.info(name, kind="mask")
    shown = [f"`{p.name}`" if p.required else f"`{p.name}={p.default!r}`" for p in info.parameters]
    path, svg = picture
    source, width = path.relative_to("docs").as_posix(), min(size(svg)[0] // 2, 320)
    image = f'<img src="{source}" alt="{name}" width="{width}">'
    reference = ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", info.reference)
    cells = [f"[{name}](../{folder.as_posix()})", info.summary, ", ".join(shown), info.category, reference, image]
    return [" ".join(cell.split()).replace("|", "\\|") for cell in cells]


def picture(name: str) -> str:
    """The first sample; the masks of a group side by side."""
    cls = registry.find(name, "mask")
    built = maskkit.create(name, kind="mask", **cls.samples[0])
    return beside([mask._repr_svg_() for mask in (built if isinstance(built, tuple) else (built,))])


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


def write() -> None:
    """Write what has changed, and take away pictures of masks that are gone."""
    wanted = files()
    for path in ROOT.glob(f"{PICTURES.as_posix()}/*.svg"):
        if path.relative_to(ROOT) not in wanted:
            path.unlink()
    for path, text in wanted.items():
        target = ROOT / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
