"""Fills a new environment as pip would, with links to packages that another one has: no network, in a second.

Usage: python linked_packages.py ENVIRONMENT REQUIREMENT..., run by the Python of the other environment. What is not
required, directly or not, is not there afterwards. A requirement that the other environment does not satisfy is an
error.
"""

import sys
from importlib.metadata import Distribution, EntryPoint, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
_SCRIPT = "#!{python}\nimport sys\nfrom {module} import {attr}\nsys.exit({attr}())\n"


def main() -> None:
    """Link all that the requirements need."""
    environment, *requirements = sys.argv[1:]
    bin_folder = Path(environment, "bin")
    (packages,) = Path(environment).glob("lib/python*/site-packages")
    for found in closure(requirements):
        for path in top_level(found):
            link = packages / path.name
            if not link.exists():  # namespace packages are there already
                link.symlink_to(path)
        for script in found.entry_points.select(group="console_scripts"):
            write(bin_folder, script)


def closure(requirements: list[str]) -> list[Distribution]:
    """Return the packages that the requirements name, and those that these need."""
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    found: dict[str, Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        package = found.setdefault(canonicalize_name(wanted.name), distribution(wanted.name))
        if not wanted.specifier.contains(package.version, prereleases=True):
            raise SystemExit(f"{wanted}: {package.version} is here")
        known = package.metadata.get_all("Provides-Extra") or []
        if unknown := wanted.extras - set(known):
            raise SystemExit(f"{wanted}: there is no extra {', '.join(unknown)}")
        for extra in ("", *wanted.extras):
            if (key := (package.metadata["Name"], extra)) not in seen:
                seen.add(key)
                waiting += needed(package, extra)
    return list(found.values())


def needed(package: Distribution, extra: str) -> list[Requirement]:
    """Return what a package, or one of its extras, requires here."""
    every = [Requirement(text) for text in package.requires or []]
    return [each for each in every if each.marker is None or each.marker.evaluate({"extra": extra})]


def top_level(package: Distribution) -> set[Path]:
    """Return the modules, the folders and the metadata of a package."""
    files = package.files or []
    names = {Path(file).parts[0] for file in files if not str(file).startswith(("..", "__"))}
    paths = {Path(str(package.locate_file(name))) for name in names}
    if package.metadata["Name"] == "remote-client":  # installed as editable
        paths |= {ROOT / "remote_client", ROOT / "pytest_remote_client.py"}
    return {path for path in paths if path.exists()}


def write(folder: Path, script: EntryPoint) -> None:
    """Write a console script."""
    program = folder / script.name
    program.write_text(_SCRIPT.format(python=folder / "python", module=script.module, attr=script.attr))
    program.chmod(0o755)


if __name__ == "__main__":
    main()
