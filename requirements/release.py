"""Build every distribution as it would be published, and try them in a clean environment: make release-check.

The sdists are built from the folders and the wheels from the sdists, so that both are known to be whole. They must pass
`twine check`, and install where nothing of ours is: first all masks and commands, resolved from the built files alone,
then the rest without its libraries, which takes no Torch, JAX or Keras. Then everything lists, and the first picture
draws.
"""

import json
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from flit_core.sdist import SdistBuilder
from flit_core.wheel import make_wheel_in

ROOT = Path(__file__).parent.parent
DIST = ROOT / "dist"
FOLDERS = [ROOT, *(path.parent for path in sorted(ROOT.glob("plugins/*/*/pyproject.toml")))]


def build(folder: Path) -> list[Path]:
    """The sdist of a folder, and the wheel of that."""
    sdist = SdistBuilder.from_ini_path(folder / "pyproject.toml").build(DIST)
    with tempfile.TemporaryDirectory() as unpacked:
        with tarfile.open(sdist) as archive:
            archive.extractall(unpacked, filter="data")
        [project] = Path(unpacked).iterdir()
        return [sdist, make_wheel_in(project / "pyproject.toml", DIST).file]


def run(*command: object, **options: object) -> str:
    """What a command prints; if it fails, that is said, and everything ends."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command[:8]))} ...\n{done.stdout}{done.stderr}")
    return done.stdout


def installed(venv: Path, wheels: list[Path]) -> Path:
    """The folder of commands of a clean environment in which all wheels are."""
    run(sys.executable, "-m", "venv", venv)
    pip = [venv / "bin/python", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-compile"]
    core = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    run(*pip, "--constraint", ROOT / "requirements/constraints.txt", *core["dependencies"])
    ours = {**os.environ, "PIP_FIND_LINKS": "", "PIP_CONSTRAINT": ""}
    run(*pip, "--no-index", "--find-links", DIST, "maskkit[masks,tools]", env=ours)
    run(*pip, "--no-index", "--no-deps", *wheels, env=ours)
    return venv / "bin"


def offered(folder: Path) -> set[str]:
    """The full names of the items that a folder offers."""
    told = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    names = told.get("entry-points", {}).get("maskkit", {})
    return {name for name in names if name.partition(".")[0] not in ("backend", "command")}


def check(commands: Path, away: Path) -> None:
    """Everything is listed and in order, and the picture of the README draws; `away` from the repository."""
    clean = {**os.environ, "PYTHONPATH": ""}
    rows = json.loads(run(commands / "maskkit", "list", "--json", cwd=away, env=clean))
    wrong = [row["full_name"] for row in rows if row["status"] != "ok"]
    missing = set().union(*map(offered, FOLDERS)) - {row["full_name"] for row in rows}
    if wrong or missing:
        sys.exit(f"installed from the built files, these are not in order: {wrong}; these are missing: {missing}")
    picture = run(
        commands / "maskkit", "render", "causal & ~banded(band_width=5)", "--seq-len", "32", cwd=away, env=clean
    )
    run(commands / "maskkit", "new", "mask", "mine", cwd=away, env=clean)
    sys.stdout.write(f"{picture}{len(rows)} items listed")


def main() -> None:
    """Build, check, install, try."""
    for old in DIST.glob("maskkit*"):
        old.unlink()
    DIST.mkdir(exist_ok=True)
    with ProcessPoolExecutor(2) as pool:
        built = [path for paths in pool.map(build, FOLDERS) for path in paths]
    run(sys.executable, "-m", "twine", "check", "--strict", *built)
    with tempfile.TemporaryDirectory() as away:
        check(installed(Path(away) / "venv", [path for path in built if path.suffix == ".whl"]), Path(away))
    sys.stdout.write(f", from {len(built)} files in {DIST}\n")


if __name__ == "__main__":
    main()
