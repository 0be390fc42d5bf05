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
        help: from the docstring's Attributes section, and how else the parameter may be spelt.
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
    tells_more = cls.samples and cls.details is not Item.details
    return Info(
        kind=cls.kind,
        name=cls.name,
        summary=" ".join(_docstring(cls).partition("\n\n")[0].split()),
        category=getattr(cls, "category", ""),
        parameters=parameters(cls),
        provider=entry.provider if entry else cls.__module__,
        version=entry.version if entry else "",
        reference=_source(cls),
        example=plain(dict(cls.samples[0])) if cls.samples else {},
        details=dict(fields.build(cls, cls.samples[0]).details()) if tells_more else {},
    )


def parameters(cls: type[Item]) -> tuple[Parameter, ...]:
    """The parameters of a class."""
    help_of: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        help_of |= _attribute_help(base) if issubclass(base, Item) else {}
    return tuple(
        Parameter(
            name=field.name,
            type=type_words(field.type),
            required=field.required,
            default=None if field.required or field.is_made else plain(field.attribute.default),
            limits=_limits(cls, field.attribute),
            help=" ".join(filter(None, [help_of.get(field.name, ""), _spellings(cls, field.name)])),
        )
        for field in fields.parameters(cls).values()
    )


def _spellings(cls: type[Item], name: str) -> str:
    others = [spelling for spelling, own in cls.aliases.items() if own == name]
    return f"Also {', '.join(others)}." if others else ""


def _limits(cls: type[Item], attribute: attrs.Attribute[Any]) -> str:
    """What a parameter's validator asks for, and the rules that are about it."""
    rules = [rule.rule for rule in cls.rules if rule.fields[0] == attribute.name]
    return "; ".join(filter(None, [getattr(attribute.validator, "rule", ""), *rules]))


_SOURCE = re.compile(r"^Sources?:[ ]*(.*(?:\n(?!Attributes:).+)*)", re.M)  # up to a blank line
_ATTRIBUTES = re.compile(r"^Attributes:\n((?:[ ].*\n?|\n)*)", re.M)  # what is indented
_ATTRIBUTE = re.compile(r"^(\w+): (.*(?:\n+[ ].*)*)", re.M)


def _docstring(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "")


def _source(cls: type) -> str:
    """The section of its sources."""
    found = _SOURCE.search(_docstring(cls))
    return found[1].strip("\n") if found else ""


def _attribute_help(cls: type) -> dict[str, str]:
    """What the section Attributes says: `name: text`, with deeper-indented continuation lines."""
    section = _ATTRIBUTES.search(_docstring(cls))
    found = _ATTRIBUTE.findall(inspect.cleandoc(section[1])) if section else []
    return {name: " ".join(text.split()) for name, text in found}
