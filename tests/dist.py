"""`make dist`: builds the wheel and the sdist into dist/, and checks what people get of them.

The versions agree; the sdist has what git has, makes the same wheel, and builds the pages; the wheel, in an empty
environment, calls a real runtime over both protocols, awaited and blocking; pip finds what every extra needs. Nothing
is uploaded.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

from remote_client import __version__

from .support.runtime import Runtime

ROOT = Path(__file__).parents[1]
DIST = ROOT / "dist"
BIN = Path(sys.executable).parent
FIRST_CALLS = """
import asyncio, sys
from importlib.metadata import version
import remote_client
from remote_client import RemoteClient, sync

assert remote_client.__file__.startswith(sys.prefix), remote_client.__file__
assert version("remote-client") == remote_client.__version__ == sys.argv[1]

async def call(target):
    async with RemoteClient(target) as client:
        model = await client.model("foo")
        print((await model.run_sample({"name": "World"})).greeting)
        print([item.greeting async for item in model.run_sample_stream_out({"name": "World"}, count=2)])

for target in sys.argv[2:]:
    asyncio.run(call(target))
    with sync.RemoteClient(target) as client:
        print(client.model("foo").run_sample({"name": "World"}).greeting)
"""
"""It sees neither the checkout nor variables."""


class DistError(Exception):
    """What was built is wrong."""


def main() -> None:
    """Build and check."""
    step("versions", check_versions)
    step("build", build)
    wheel, sdist = only("*.whl"), only("*.tar.gz")
    step("metadata", lambda: check_metadata(wheel))
    step("twine", lambda: run(BIN / "twine", "check", "--strict", wheel, sdist))
    step("check-wheel-contents", lambda: run(BIN / "check-wheel-contents", wheel))
    with tempfile.TemporaryDirectory() as folder:
        unpacked = Path(folder)
        step("sdist", lambda: check_sdist(sdist, wheel, unpacked))
    with tempfile.TemporaryDirectory() as folder:
        python = Path(folder, "environment", "bin", "python")
        step("first calls", lambda: call_with(wheel, python))
        step("extras", lambda: check_extras(wheel, python))
    for file in (wheel, sdist):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size:,} bytes")


def step(name: str, check: Callable[[], object]) -> None:
    """Run a check, and say so."""
    print(f"-- {name}", flush=True)
    check()


def run(*command: str | Path, cwd: Path = ROOT, **variables: str) -> str:
    """Return what a command prints. Raises with it if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise DistError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def only(pattern: str) -> Path:
    """Return the one file that was built."""
    (found,) = DIST.glob(pattern)
    return found


def check_versions() -> None:
    """Compare the version of the package with the newest section of the changelog, which has a date."""
    newest = newest_release((ROOT / "CHANGELOG.md").read_text())
    if newest != __version__:
        raise DistError(f"the version is {__version__}, the newest section of CHANGELOG.md {newest}")


def newest_release(changelog: str) -> str | None:
    """Return the version of the first section with a date."""
    found = re.search(r"^## \[([^\]]+)\] - \d{4}-\d\d-\d\d$", changelog, re.MULTILINE)
    return found[1] if found else None


def build() -> None:
    """Build both from the checkout."""
    shutil.rmtree(DIST, ignore_errors=True)
    run(BIN / "hatchling", "build", "-d", DIST)


def check_metadata(wheel: Path) -> None:
    """Compare the wheel's metadata with pyproject.toml, and its types' mark."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    with zipfile.ZipFile(wheel) as packed:
        name = f"{wheel.name.rpartition('-py3')[0]}.dist-info/METADATA"
        metadata = email.message_from_bytes(packed.read(name))
        if "remote_client/py.typed" not in packed.namelist():
            raise DistError("the wheel has no remote_client/py.typed")
    expected = {
        "Version": [__version__],
        "Provides-Extra": sorted(project["optional-dependencies"]),
        "Classifier": sorted(project["classifiers"]),
        "Requires-Python": [project["requires-python"]],
        "License-Expression": [project["license"]],
    }
    for field, values in expected.items():
        if (found := sorted(metadata.get_all(field, []))) != values:
            raise DistError(f"{field}: {found} in the wheel, expected {values}")


def check_sdist(sdist: Path, wheel: Path, folder: Path) -> None:
    """Unpack the sdist; it has files of git's alone, builds the same wheel, and the pages."""
    with tarfile.open(sdist) as packed:
        packed.extractall(folder, filter="data")
    (project,) = folder.iterdir()
    inside = {str(file.relative_to(project)) for file in project.rglob("*") if file.is_file()}
    if (ROOT / ".git").exists() and (unknown := inside - {"PKG-INFO", *run("git", "ls-files").splitlines()}):
        raise DistError(f"the sdist has files that git does not have: {', '.join(sorted(unknown))}")
    run(BIN / "hatchling", "build", "-t", "wheel", "-d", folder / "dist", cwd=project)
    if (folder / "dist" / wheel.name).read_bytes() != wheel.read_bytes():
        raise DistError("the sdist builds another wheel")
    run(BIN / "mkdocs", "build", "--strict", "--site-dir", folder / "site", cwd=project, NO_MKDOCS_2_WARNING="1")


def call_with(wheel: Path, python: Path) -> None:
    """Install the wheel in an empty environment, and call a runtime from there."""
    environment = python.parents[1]
    run(sys.executable, "-m", "venv", environment)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel)
    run(python, "-m", "pip", "check")
    with Runtime() as runtime:
        command = (python, "-I", "-W", "error", "-c", FIRST_CALLS, __version__, runtime.target, runtime.http_target)
        printed = run(*command, cwd=environment)
    one = "Hello World\n['Hello World 0', 'Hello World 1']\nHello World\n"
    if printed != one * 2:
        raise DistError(f"the first calls printed\n{printed}")
    if (version := run(python.with_name("remote-client"), "--version").strip()) != __version__:
        raise DistError(f"remote-client --version is {version}")


def check_extras(wheel: Path, python: Path) -> None:
    """Let pip find the packages of every extra, and install none: some are large."""
    for extra in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]:
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run", f"{wheel}[{extra}]")


if __name__ == "__main__":
    try:
        main()
    except DistError as error:
        sys.exit(f"make dist: {error}")
