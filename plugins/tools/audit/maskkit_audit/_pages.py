"""A report as one HTML file without a network, and as a figure."""

from __future__ import annotations

from html import escape
from typing import Any

from maskkit_audit._report import Entry, Report, named, shortened

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1a2233; background: #f5f6f9; margin: 0; padding: 2rem }
main { max-width: 60rem; margin: auto }
h1 { font-size: 1.4rem; margin: 0 0 .2rem }
.verdict { margin: 0 0 1.5rem; font-weight: 600 }
.good { color: #14693a } .bad { color: #a3201d }
section { background: #fff; border: 1px solid #dde1ea; border-radius: 8px; padding: 1rem 1.2rem; margin: 0 0 1rem;
  display: flex; flex-wrap: wrap; gap: 1.2rem }
section.leaks { border-left: 5px solid #c8322e }
figure { margin: 0; max-width: 100%; overflow-x: auto } figure svg { height: auto; max-width: 100% }
.words { flex: 1 1 20rem; min-width: 0 }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace }
code { background: #eef1f6; border-radius: 4px; padding: .1em .4em; overflow-wrap: anywhere }
p { margin: .35rem 0 } .small { color: #586074; font-size: .87rem }
ul { margin: .5rem 0; padding: 0; list-style: none }
li.leak { background: #fdecea; border-radius: 4px; padding: .35rem .6rem; margin: .25rem 0 }
li.leak b { color: #a3201d }
"""


def html(report: Report) -> str:
    """The page as a document of its own."""
    leaks = bool(report.leaks)
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(report.title)}: attention</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="verdict {"bad" if leaks else "good"}">{escape(report.verdict())}</p>',
        *map(_section, report.groups()),
        *(f'<p class="small">{escape(note)}</p>' for note in report.notes),
        '<p class="small">Dark is allowed. Queries run down, keys to the right.</p></main></body></html>',
    ]
    return "\n".join(parts) + "\n"


def _section(group: list[Entry]) -> str:
    first = group[0]
    leaks = "".join(f'<li class="leak"><b>{escape(leak.kind)}</b>: {escape(leak.text)}</li>' for leak in first.leaks)
    title = "allowed" if len(first.mask.shape) == 2 else f"allowed, by {' and '.join(first.mask.axes[:-2])}"
    notes = "".join(f'<li class="small">{escape(note)}</li>' for note in first.notes)
    return (
        f'<section class="{"leaks" if first.leaks else ""}"><figure>{first.mask.svg(title)}</figure>'
        f'<div class="words">{"".join(f"<h2>{escape(name)}</h2>" for name in named(group))}'
        f"<p><code>{escape(shortened(first.expression))}</code></p>"
        f'<p class="small">{escape(first.via)}; {escape(first.figures())}</p><ul>{leaks}{notes}</ul></div></section>'
    )


def figure(report: Report) -> Any:
    """A row for each kind of attention: its picture, and beside it what there is to say."""
    import textwrap

    from matplotlib.figure import Figure

    groups = report.groups()
    drawn = Figure(figsize=(10, 0.7 + 3.3 * len(groups)), layout="constrained")
    title = textwrap.fill(f"{report.title}: {report.verdict()}", 110)
    drawn.suptitle(title, fontsize=11, x=0.02, ha="left", parse_math=False)
    rows = drawn.subplots(len(groups), 2, squeeze=False, width_ratios=(1, 2.2))
    for (picture, words), group in zip(rows, groups, strict=True):
        first = group[0]
        first.mask.plot(picture, title="")
        words.axis("off")
        lines = [*named(group), first.via, first.expression, first.figures()]
        lines += [f"LEAK {leak}" for leak in first.leaks] + [f"note: {note}" for note in first.notes]
        text = "\n".join(part for line in lines for part in textwrap.wrap(shortened(line, 240), 78))
        words.text(0, 1, text, va="top", fontsize=9, color="#a3201d" if first.leaks else "#1a2233", parse_math=False)
    return drawn
