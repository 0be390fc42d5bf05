"""The catalogue: every installed mask, with its forms, as one JavaScript object."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import maskkit
from maskkit import MaskGroup, MaskkitError
from maskkit_explore._forms import GIVEN_UP, Form, Kind, forms_of

log = logging.getLogger("maskkit.explore")
_TRIED = (*range(-1, 10), 2**31)


_COMPLETE = """\
for (const item of Object.values(CATALOGUE))
  for (const form of item.forms) for (const field of form.fields) Object.assign(field, item.about[field.name]);
"""


class Catalogue(NamedTuple):
    """What is in the explorer, as JavaScript, and what is not, with the reason."""

    javascript: str
    names: tuple[str, ...]
    absent: dict[str, str]


def catalogue(given: Sequence[Any] = (), names: Sequence[str] | None = None) -> Catalogue:
    """The masks of these names, or all that are installed.

    `given` are masks whose parameters are offered beside those of the samples.
    """
    items, absent, shared = [], {}, _Shared()
    for name in maskkit.names("mask") if names is None else names:
        try:
            cls = maskkit.find(name, "mask")
            if issubclass(cls, MaskGroup):
                parts = ", ".join(mask.name for mask in maskkit.build(cls, cls.samples[0]).build())
                absent[name] = f"it gives several masks ({parts}); add them one by one"
                continue
            forms = forms_of(cls, [mask for mask in given if type(mask) is cls])
            items.append((name, _item(cls, forms, shared)))
        except (MaskkitError, *GIVEN_UP) as problem:
            absent[name] = f"its predicate cannot be followed: {' '.join(str(problem).split())}"
            log.info("%s is not in the explorer: %s", name, absent[name])
    entries = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in items)
    written = f"const CATALOGUE = {{\n{entries}\n}};\nconst ABSENT = {as_javascript(absent)};\n"
    return Catalogue(shared.javascript() + written + _COMPLETE, tuple(name for name, _ in items), absent)


class _Shared:
    """What several masks have alike is written once."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def name(self, source: str) -> str:
        """A name for a source."""
        return self.names.setdefault(source, f"S{len(self.names)}")

    def javascript(self) -> str:
        """What defines the names."""
        return "".join(f"const {name} = {source};\n" for source, name in self.names.items())


def as_javascript(value: Any) -> str:
    """Plain data as JavaScript that may stand in a page."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{as_javascript(key)}:{as_javascript(one)}' for key, one in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(as_javascript, value))}]"
    if isinstance(value, int) and abs(value) > 2**53:
        return f"{value}n"  # as a double it would be another number
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c")


def _item(cls: Any, forms: Sequence[Form], shared: _Shared) -> str:
    info = maskkit.info(cls.name, kind="mask")
    about = {parameter.name: parameter for parameter in info.parameters}
    about_item = dict(summary=info.summary, category=info.category, provider=info.provider, reference=info.reference)
    about_item["type"] = maskkit.to_dict(maskkit.build(cls, cls.samples[0]))["type"]
    about_item["about"] = {
        name: dict(required=one.required, default=one.default, help=one.help, limits=one.limits)
        for name, one in about.items()
    }
    labels = _labels(forms)
    texts = []
    for form, label in zip(forms, labels, strict=True):
        fields = [_field(cls, name, kind) for name, kind in form.kinds.items()]
        unchecked = [about[name].limits if name else "rules between parameters" for name in form.unchecked]
        plain = dict(label=label, fields=fields, sample=form.sample, unchecked=unchecked)
        checks = ", ".join(shared.name(f"(p) => {check}") for check in form.checks)
        texts.append(f"{{...{as_javascript(plain)}, make: {form.make}, checks: [{checks}]}}")
    return f"{{...{as_javascript(about_item)}, forms: [{', '.join(texts)}]}}"


def _labels(forms: Sequence[Form]) -> list[str]:
    """What tells the forms of a mask apart, in words."""
    words = [{name: kind.words(name) for name, kind in form.kinds.items()} for form in forms]
    differ = [name for name in words[0] if len({one[name] for one in words}) > 1]
    return [", ".join(filter(None, (one[name] for name in differ))) or "as it is" if differ else "" for one in words]


def _field(cls: Any, name: str, kind: Kind) -> dict[str, Any]:
    """A field for the page: what it holds, and what it may hold."""
    plain: dict[str, Any] = dict(name=name, kind=kind.name)
    if kind.name == "list":
        plain["of"] = [one.name for one in kind.more]
    elif kind.name == "array":
        ndim, dtype = kind.more
        plain |= dict(ndim=ndim, type="bool" if dtype == "bool" else "float" if dtype.startswith("float") else "int")
    elif kind.name == "choice":
        plain["options"] = kind.more
    elif kind.name == "constant":
        plain["value"] = _plain(kind.more)
    elif kind.name in ("int", "float"):
        plain |= _range(cls, name, kind.name)
    return plain


def _plain(value: Any) -> Any:
    if maskkit.arrays.is_array(value):
        return maskkit.arrays.fetched(value).tolist()
    return [_plain(one) for one in value] if isinstance(value, (tuple, list)) else value


def _range(cls: Any, name: str, kind: str) -> dict[str, Any]:
    """The least value that a number may have, the step between values, and the most of a share."""
    field = maskkit.parameters(cls)[name]

    def passes(value: Any) -> bool:
        try:
            field.validate(cls, value)
        except MaskkitError:
            return False
        return True

    if kind == "float":
        return {"min": 0, "max": 1, "step": 0.01} if passes(0.0) and passes(1.0) and not passes(1.01) else {}
    good = [value for value in _TRIED if passes(value)]
    return {"min": good[0], "step": good[1] - good[0]} if len(good) > 1 else {}
