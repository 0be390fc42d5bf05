"""What there is to know of an item, read off its class: fields, validators and docstring."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import attrs
from maskkit.configs import fields
from maskkit.configs.fields import type_words
from maskkit.configs.saving import plain
from maskkit.registry.item import Item

if TYPE_CHECKING:
    from maskkit.registry.catalog import Entry


@attrs.frozen(kw_only=True)
class Parameter:
    """One parameter of an item.

    Attributes:
        type: in words.
        default: the default as plain data, None where it is required.
        limits: what its validator asks for, in words.
        help: from the docstring's Attributes section.
    """

    name: str
    type: str
    required: bool
    default: Any
    limits: str
    help: str


@attrs.frozen(kw_only=True)
class Info:
    """An item, described.

    Attributes:
        summary: one sentence.
        category: a word that groups items of a kind, such as "attention" or "segmentation"; may be empty.
        provider: the distribution that offers it, or the module if it was registered by hand.
        version: of the provider.
        reference: papers and other sources, from the docstring.
        example: parameters of a typical one.
        details: what items of its kind say besides, such as the shapes that a layer takes and gives: label -> text.
    """

    kind: str
    name: str
    summary: str
    category: str
    parameters: tuple[Parameter, ...]
    provider: str
    version: str
    reference: str
    example: dict[str, Any]
    details: dict[str, str] = attrs.field(factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return attrs.asdict(self) | {"parameters": [attrs.asdict(p) for p in self.parameters]}


def describe(cls: type[Item], entry: Entry | None) -> Info:
    """Read an item's class."""
    summary, sections = _docstring(cls)
    return Info(
        kind=cls.kind,
        name=cls.name,
        summary=summary,
        category=getattr(cls, "category", ""),
        parameters=parameters(cls, sections),
        provider=entry.provider if entry else cls.__module__,
        version=entry.version if entry else "",
        reference=sections.get("source", ""),
        example=plain(dict(cls.samples[0])) if cls.samples else {},
        details=_details(cls),
    )


def _details(cls: type[Item]) -> dict[str, str]:
    """What the first sample says of itself."""
    if cls.details is Item.details or not cls.samples:
        return {}
    return dict(fields.build(cls, cls.samples[0]).details())


def parameters(cls: type[Item], sections: dict[str, str] | None = None) -> tuple[Parameter, ...]:
    """The parameters of a class."""
    inherited = [_docstring(base)[1] for base in reversed(cls.__mro__[1:]) if issubclass(base, Item)]
    texts = [*inherited, _docstring(cls)[1] if sections is None else sections]
    help_of = {name: text for part in texts for name, text in _attribute_help(part.get("attributes", "")).items()}
    found = []
    for field in fields.parameters(cls).values():
        attribute = field.attribute
        default = (
            None if field.required or attribute.default.__class__.__name__ == "Factory" else plain(attribute.default)
        )
        found.append(
            Parameter(
                name=field.name,
                type=type_words(field.type),
                required=field.required,
                default=default,
                limits=_limits(cls, attribute),
                help=help_of.get(field.name, ""),
            )
        )
    return tuple(found)


def _limits(cls: type[Item], attribute: attrs.Attribute[Any]) -> str:
    """What a parameter's validator asks for, and the rules that are about it."""
    rules = [rule.rule for rule in cls.rules if rule.fields[0] == attribute.name]
    return "; ".join(filter(None, [getattr(attribute.validator, "rule", ""), *rules]))


_SECTION = re.compile(r"^(Source|Sources|Attributes|Shapes|Raises|Returns|Example|Examples|Note|Notes):[ ]*(.*)$")


def _docstring(cls: type) -> tuple[str, dict[str, str]]:
    """The first paragraph, and the sections by lower-case name ("sources" counts as "source")."""
    lines = inspect.cleandoc(cls.__doc__ or "").splitlines()
    summary, sections, name = "", {}, ""
    for line in lines:
        if match := _SECTION.match(line):
            name = match[1].lower().removesuffix("s") if match[1].startswith("Source") else match[1].lower()
            sections[name] = match[2]
        elif name and (line.startswith(" ") or not line.strip() or (name == "source" and line.strip())):
            if name == "source" and not line.strip():
                name = ""
            elif name:
                sections[name] += "\n" + line
        else:
            name = ""
    summary = " ".join(inspect.cleandoc(cls.__doc__ or "").partition("\n\n")[0].split())
    return summary, {key: text.strip("\n") for key, text in sections.items()}


def _attribute_help(section: str) -> dict[str, str]:
    """`name: text` with deeper-indented continuation lines."""
    found: dict[str, str] = {}
    name = ""
    for line in inspect.cleandoc(section).splitlines():
        if match := re.match(r"^(\w+): (.*)$", line):
            name, found[match[1]] = match[1], match[2]
        elif name and line.strip():
            found[name] += " " + line.strip()
    return found
