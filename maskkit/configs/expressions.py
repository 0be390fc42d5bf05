"""Mask expressions: `causal & ~banded(band_width=5)`, read into the mappings that `create` takes."""

from __future__ import annotations

import ast
from typing import Any

from maskkit.errors import ConfigError
from maskkit.validators import shown

_OPERATIONS = {ast.BitAnd: "and", ast.BitOr: "or", ast.BitXor: "xor"}
_ALLOWED = (
    "an expression holds names, calls with literal keywords such as banded(band_width=5), & | ^ ~ and parentheses"
)
_LONGEST = 10_000


def tree(expression: str) -> dict[str, Any]:
    """The mapping that an expression stands for.

    Raises:
        ConfigError: with the place, where anything but what is allowed stands.
    """
    if not isinstance(expression, str):
        raise ConfigError(f"an expression must be a string, got {shown(expression)}")
    if len(expression) > _LONGEST:
        raise ConfigError(
            f"an expression has at most {_LONGEST} characters, got {len(expression)}; use a file and load()"
        )
    try:
        return _node(ast.parse(expression.strip(), mode="eval").body, expression.strip())
    except SyntaxError as error:
        raise ConfigError(
            f"cannot read {shown(expression)}: {error.msg} at column {error.offset}; {_ALLOWED}"
        ) from None
    except (RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"cannot read an expression so deep or so odd: {error}; {_ALLOWED}") from None


def _node(node: ast.expr, text: str) -> dict[str, Any]:
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATIONS:
        parts, operation = [], type(node.op)
        while isinstance(node, ast.BinOp) and type(node.op) is operation:  # `a & b & c` is `(a & b) & c` to Python
            parts.append(node.right)
            node = node.left
        return {_OPERATIONS[operation]: [_node(part, text) for part in (node, *reversed(parts))]}
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Invert):
        return {"not": _node(node.operand, text)}
    if isinstance(node, (ast.Name, ast.Attribute)):
        return {"type": _name(node, text)}
    if isinstance(node, ast.Call) and not node.args:
        keywords = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg == "type":
                raise _refused(node, text)
            if keyword.arg in keywords:
                raise ConfigError(f"{keyword.arg!r} at column {keyword.col_offset + 1} is given twice; give it once")
            keywords[keyword.arg] = _literal(keyword.value, text)
        return {"type": _name(node.func, text), **keywords}
    raise _refused(node, text)


def _name(node: ast.expr, text: str) -> str:
    """`causal`, or `mask.causal`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        return f"{node.value.id}.{node.attr}"
    raise _refused(node, text)


def _literal(node: ast.expr, text: str) -> Any:
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        raise _refused(node, text) from None


def _refused(node: ast.expr, text: str) -> ConfigError:
    part = ast.get_source_segment(text, node) or ast.dump(node)
    return ConfigError(f"{shown(part)} at column {node.col_offset + 1} is not allowed here; {_ALLOWED}")
