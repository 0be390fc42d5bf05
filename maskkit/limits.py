"""Bounds that a program may set; read each time they are needed."""

from __future__ import annotations

from maskkit.errors import TooLarge

dense_bytes: int = 8 * 2**30
"""The largest dense array, in bytes, that a mask turns into. Set `maskkit.limits.dense_bytes` to change it."""


def human_bytes(count: int) -> str:
    """`1234567` -> `"1.2 MiB"`."""
    size, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:.0f} {units[0]}" if units[0] == "bytes" else f"{size:.1f} {units[0]}"


def check_dense(what: str, shape: tuple[int, ...], itemsize: int) -> None:
    """Raise TooLarge if a dense array of this shape is over the limit."""
    count = itemsize
    for size in shape:
        count *= size
    if count > dense_bytes:
        raise TooLarge(
            f"a dense {what} of shape {shape} takes {human_bytes(count)}, over the limit of {human_bytes(dense_bytes)}; "
            "use .blocks(), .stats(), .text(), a slice such as mask[:1024, :], or raise maskkit.limits.dense_bytes"
        )
