"""The pages of the site that nobody writes by hand: a gallery and a page for each item, READMEs, the API."""

import re
import shutil
from html import escape
from importlib.metadata import metadata
from pathlib import Path

import gallery
import maskkit
from maskkit.configs.describe import Info
from maskkit.registry.catalog import entries

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)#\s]+)")
TITLES = {"mask": "Masks", "strategy": "JEPA strategies", "attention": "Attention layers", "kernel": "Kernels"}
MOVED = {"masks.md": "generated/mask.md", "strategies.md": "generated/strategy.md"}
PICTURED = ("mask", "strategy")


def write(folder: Path) -> None:
    """Write all pages anew, those only that have changed touched, so that a second build is short."""
    pages = {**items(), **readmes(), **galleries(), "api.md": api(), "explorer.md": explorer_page()}
    for path in folder.glob("**/*.md"):
        if str(path.relative_to(folder)) not in pages:
            path.unlink()
    for name, text in pages.items():
        gallery.update(folder / name, text)


def links(text: str, folder: Path) -> str:
    """The text with its links, relative to the folder that it was written in, made links between pages of the site."""
    return LINK.sub(lambda found: target(found[1], folder), text)


def target(link: str, folder: Path) -> str:
    """The page that a relative link leads to; a file that is no page stays a file, to download."""
    path = (folder / link).resolve()
    if path.is_relative_to(DOCS):
        inside = path.relative_to(DOCS).as_posix()
        return "/" + MOVED.get(inside, inside)
    if path == ROOT / "README.md":
        return "/index.md"
    readme = path / "README.md" if path.is_dir() else path
    if readme.suffix == ".md" and readme.exists() and readme.is_relative_to(ROOT):
        return "/generated/" + page_of(readme)
    inside = [one for one in sorted(path.glob("*.py")) if "test" not in one.name] if path.is_dir() else []
    return "/" + (Path("..") / (inside[0] if inside else path).relative_to(ROOT)).as_posix()


def toctree(text: str, folder: Path) -> str:
    """The text without the patterns of a toctree that no page matches yet: a plugin may bring some."""
    pattern = re.compile(r"[\w/*-]*\*[\w/*-]*")
    kept = [line for line in text.splitlines() if not pattern.fullmatch(line) or any(folder.glob(f"{line}.md"))]
    return "\n".join(kept) + "\n"


def page_of(readme: Path) -> str:
    """Where the page of a README stands under generated/: plugins/masks/causal.md."""
    path = readme.relative_to(ROOT)
    return f"{(path.parent if path.name == 'README.md' and path.parent.parts else path.with_suffix('')).as_posix()}.md"


def readmes() -> dict[str, str]:
    """A page for each README that belongs to no item, and for CONTRIBUTING.md."""
    own = {folder for kind in TITLES for folder in gallery.items(kind).values()}
    found = [*ROOT.glob("plugins/*/*/README.md"), *ROOT.glob("examples/*/README.md")]
    paths = [path for path in found if path.parent.relative_to(ROOT) not in own]
    return {
        page_of(path): links(path.read_text(encoding="utf-8"), path.parent)
        for path in sorted([*paths, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
    }


def items() -> dict[str, str]:
    """A page for each installed item."""
    return {item_page(entry.kind, entry.name): item(entry.kind, entry.name) for entry in known()}


def known() -> list:
    """The installed items of the kinds that have a gallery, one entry for each name."""
    found = {(entry.kind, entry.name): entry for entry in entries() if entry.kind in TITLES}
    return [found[key] for key in sorted(found)]


def item_page(kind: str, name: str) -> str:
    """The path of an item's page under generated/."""
    folder = gallery.items(kind).get(name)
    return f"{folder.as_posix()}.md" if folder else f"plugins/others/{kind}_{name}.md"


def item(kind: str, name: str) -> str:
    """Picture, code, density, parameters, paper, README."""
    info = maskkit.info(name, kind=kind)
    parts = [f"# {name}", f"{info.summary}", *example(kind, name), *parameters(info)]
    if info.reference:
        parts.append("Source: " + gallery.ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", info.reference))
    folder = gallery.items(kind).get(name)
    if folder:
        text = (ROOT / folder / "README.md").read_text(encoding="utf-8")
        text = links(text, ROOT / folder)
    else:
        text = metadata(info.provider).get_payload() or ""
    _, _, body = text.strip().partition("\n")
    return "\n\n".join([*parts, f"## {info.provider}", f"`pip install {info.provider}`", body.strip()]) + "\n"


def example(kind: str, name: str) -> list[str]:
    """The picture of the first sample, how it is made, and how dense it is."""
    sample = maskkit.find(name, kind).samples[0]
    options = ", ".join([f'"{name}"', *(f"{key}={short(value)}" for key, value in sample.items())])
    if kind != "mask":
        options += f', kind="{kind}"' if len({e.kind for e in known() if e.name == name}) > 1 else ""
    code = f"```python\nmaskkit.create({options})\n```"
    if kind not in PICTURED:
        return [code] if kind == "attention" else []
    drawn = f'<div class="picture {kind}">{gallery.picture(kind, name).strip()}</div>'
    return [drawn, code, *([density(maskkit.create(name, kind=kind, **sample))] if kind == "mask" else [])]


def short(value: object) -> str:
    """A value as code on one line; arrays and what is long are named, not shown."""
    text = " ".join(repr(value).split())
    return text if len(text) < 70 else "..."


def density(mask: object) -> str:
    """What part of the mask is allowed; of a group of masks each."""
    group = mask if isinstance(mask, tuple) else (mask,)
    return "Allowed: " + ", ".join(f"{one.stats().density:.1%} of {' x '.join(map(str, one.shape))}" for one in group)


def parameters(info: Info) -> list[str]:
    """A table of the parameters."""
    if not info.parameters:
        return []
    rows = [f"| `{p.name}` | {cell(p.type)} | {default(p)} | {cell(p.help)} |" for p in info.parameters]
    return ["\n".join(["| parameter | type | default | |", "|---|---|---|---|", *rows])]


def default(parameter: object) -> str:
    """The default of a parameter; a required one has none."""
    return "required" if parameter.required else f"`{short(parameter.default)}`"


def cell(text: object) -> str:
    """A text in a cell of a table."""
    return " ".join(str(text or "").split()).replace("|", "\\|")


def galleries() -> dict[str, str]:
    """A page for each kind: cards with the pictures of all items."""
    return {f"{kind}.md": cards(kind, title) for kind, title in TITLES.items()}


def cards(kind: str, title: str) -> str:
    """The cards of a kind, and the hidden list of their pages."""
    names = [entry.name for entry in known() if entry.kind == kind]
    shown = "\n".join(card(kind, name) for name in names)
    pages = "\n".join(f"/generated/{item_page(kind, name).removesuffix('.md')}" for name in names)
    said = {
        "mask": "Queries run down and keys run right (of segmentation masks: rows and columns of pixels); colour is "
        "allowed.",
        "strategy": "The context is blue, the targets have the other colours, teal is in several targets, and black in "
        "nothing. [How to train with them](/jepa.md).",
    }.get(kind, "")
    return f'# {title}\n\n{said}\n\n<div class="cards">\n{shown}\n</div>\n\n```{{toctree}}\n:hidden:\n\n{pages}\n```\n'


def card(kind: str, name: str) -> str:
    """One picture, its name and what it is, which lead to its page."""
    info, page = maskkit.info(name, kind=kind), item_page(kind, name).replace(".md", ".html")
    drawn = gallery.picture(kind, name).strip() if kind in PICTURED else ""
    said = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(info.summary))
    return f'<a class="card {kind}" href="{page}">{drawn}<b>{name}</b><span>{said}</span></a>'


def api() -> str:
    """Every name of the front door, by the themes of `maskkit/__init__.pyi`, with its docstring."""
    parts = ["# API reference", "Every public name of `maskkit`, imported when it is first used."]
    for line in (ROOT / "maskkit/__init__.pyi").read_text(encoding="utf-8").splitlines():
        theme, name = re.fullmatch(r"# ([A-Z].*)\.", line), re.search(r" as (\w+)$", line)
        if theme and "front door" not in line:
            parts.append(f"## {theme[1]}")
        elif name:
            parts.append(documented(name[1]))
    return "\n\n".join(parts) + "\n"


def documented(name: str) -> str:
    """The directive for one name."""
    value = getattr(maskkit, name)
    if isinstance(value, type):
        members = "" if issubclass(value, Exception) else "\n:members:"
        return f"```{{eval-rst}}\n.. autoclass:: maskkit.{name}{members.replace(chr(10), chr(10) + '   ')}\n```"
    if isinstance(value, type(maskkit)):
        return f"`maskkit.{name}`: {(value.__doc__ or '').strip().splitlines()[0]}"
    directive = "autofunction" if callable(value) else "autodata"
    return f"```{{eval-rst}}\n.. {directive}:: maskkit.{name}\n```"


def has_explorer() -> bool:
    """Whether the plugin that writes the explorer is installed."""
    from importlib.metadata import entry_points

    return any(point.name.endswith("explore") for point in entry_points(group="maskkit"))


def explorer_page() -> str:
    """The page around the explorer."""
    if has_explorer():
        return '# Explorer\n\n<iframe class="explorer" src="../explorer.html" title="mask explorer"></iframe>\n'
    return "# Explorer\n\nThis site was built without the explorer: `maskkit explore -o explorer.html` writes it.\n"


def write_explorer(path: Path) -> None:
    """The explorer itself, one HTML file; nothing where its plugin is not installed."""
    if has_explorer():
        from maskkit.cli import run

        run(["explore", "-o", str(path)])


if __name__ == "__main__":
    shutil.rmtree(DOCS / "generated", ignore_errors=True)
    write(DOCS / "generated")
