"""YAML as people mean it: a key is a word and stands once, and numbers that YAML 1.1 reads otherwise are refused."""

from __future__ import annotations

import re
from typing import Any

import yaml
from maskkit.validators import shown

_MERGE, _WORD = "tag:yaml.org,2002:merge", "tag:yaml.org,2002:str"
_MOST_MERGED = 10**5
"""So many pairs may merge keys stand for, which are written out one by one."""
_OF_OLD = re.compile(r"[-+]?(0[0-9_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")
"""`010`, which is 8 in YAML 1.1, and `1:30`, which is 90."""


class Loader(yaml.SafeLoader):
    """Safe YAML, in bounded time."""

    merged = 0

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """A mapping whose keys are words (`true:` and `1:` as well) that stand once."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for i, (key, value) in enumerate(node.value):
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key must be a word", key)
            if key.tag == _MERGE:
                continue
            if key.value in seen:
                raise _error(f"duplicate key {key.value!r}", key)
            seen.add(key.value)
            node.value[i] = yaml.ScalarNode(_WORD, key.value, key.start_mark, key.end_mark), value
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Write merge keys out, which are counted before: a list of aliases grows tenfold with every line."""
        for key, value in node.value:
            if key.tag == _MERGE:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if isinstance(part, yaml.MappingNode):
                        self.flatten_mapping(part)
                        self.merged += len(part.value)
                if self.merged > _MOST_MERGED:
                    raise _error(f"merge keys stand for more than {_MOST_MERGED:,} pairs; write them out", key)
        super().flatten_mapping(node)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """A value; what does not fit its tag is an error with its line."""
        if node.tag.endswith((":int", ":float")) and _OF_OLD.fullmatch(str(node.value)):
            raise _error(
                f"{node.value!r} is read as another number, or as text, by other versions of YAML; "
                "write a plain decimal number, or text in quotes",
                node,
            )
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, TypeError, AttributeError) as error:  # such as a date of the thirteenth month
            what = str(error) if type(error) is ValueError else f"{shown(node.value)} is no {node.tag.split(':')[-1]}"
            raise _error(what, node) from error


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


Loader.add_implicit_resolver(  # which YAML 1.1 takes for text without the point
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+"), list("-+0123456789")
)
