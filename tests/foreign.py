"""Distributions of strangers, installed by hand into a folder, each asked in an interpreter of its own."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

GOOD = """
from attrs import field, frozen
from maskkit import AttentionMask, hookimpl, positive

@frozen(kw_only=True)
class Stripes(AttentionMask):
    '''Every other key.

    Attributes:
        seq_len: number of tokens.
    '''
    name = "stripes"
    samples = (dict(seq_len=4),)
    seq_len: int = field(validator=positive)

    def allows(self, q, k):
        return (q * 0 + k) % 2 == 0

@hookimpl
def maskkit_masks():
    return [Stripes]
"""


class Site:
    """A folder of installed distributions, made by hand."""

    def __init__(self, folder: Path):
        self.folder = folder

    def add(self, distribution: str, module: str, source: str | None, *points: str, version: str = "1.0") -> None:
        info = self.folder / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\nSummary: from {distribution}\n"
        )
        (info / "entry_points.txt").write_text("[maskkit]\n" + "".join(f"{p} = {module}\n" for p in points))
        if source is not None:
            (self.folder / f"{module}.py").write_text(source)

    def add_raw(self, folder: str, metadata: bytes | None, points: bytes, source: str = GOOD) -> None:
        """A distribution whose files are these bytes; its module is named after the folder."""
        info = self.folder / folder
        info.mkdir()
        if metadata is not None:
            (info / "METADATA").write_bytes(metadata)
        (info / "entry_points.txt").write_bytes(points)
        (self.folder / f"{folder.partition('-')[0]}.py").write_text(source)

    def run(self, code: str, **env: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(self.folder), **env},
            check=False,
        )

    def maskkit(self, *args: str, **env: str) -> subprocess.CompletedProcess:
        return self.run(f"from maskkit.cli import main; main({list(args)!r})", **env)

    def error_of(self, name: str, **env: str) -> str:
        """Class and message of what `create(name, seq_len=4)` raises."""
        code = f"""
            import maskkit
            try:
                maskkit.create({name!r}, seq_len=4)
            except Exception as error:
                print(type(error).__name__, '|', error, '|', repr(error.__cause__))
        """
        done = self.run(code, **env)
        assert done.returncode == 0, done.stderr
        return done.stdout
