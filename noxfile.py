"""The unit and wire tests on every Python of this machine, with the lowest and the newest dependencies: `make matrix`.

It also runs the tests of the client inside caikit on the lowest caikit that pyproject.toml allows.

Arguments after `--` replace the tests that run: `nox --session "tests-3.12(lowest)" -- tests/unit -k deadlines`.
"""

import os
import shutil
import subprocess
from pathlib import Path

import nox

nox.options.reuse_existing_virtualenvs = True
nox.options.error_on_external_run = True
nox.options.download_python = "never"

REQUIREMENTS = Path("tests", "requirements")
PROJECT = nox.project.load_toml("pyproject.toml")
# The classifiers name the Pythons that are promised. The next one runs where it is, to hear early of what it breaks.
PYTHONS = [*nox.project.python_versions(PROJECT), "3.14"]


def find(version: str) -> str | None:
    """Return the folder of the first Python of this version that starts: on the path, or one of pyenv's.

    pyenv's shims are on the path for every version it has, and most of them do not start.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    kept = sorted(pyenv.glob(f"versions/{version}.*/bin"))
    for folder in [*os.get_exec_path(), *map(str, kept)]:
        python = shutil.which(f"python{version}", path=folder)
        if python and subprocess.run([python, "-c", ""], check=False, capture_output=True).returncode == 0:
            return folder
    return None


FOLDERS = {version: find(version) for version in PYTHONS}
# nox takes the first on the path, which may be one that does not start.
os.environ["PATH"] = os.pathsep.join([*filter(None, FOLDERS.values()), *os.get_exec_path()])


@nox.session(python=[version for version, folder in FOLDERS.items() if folder])
@nox.parametrize("dependencies", ["lowest", "newest"], ids=["lowest", "newest"])
def tests(session: nox.Session, dependencies: str) -> None:
    """Run the unit and wire tests, and those of the fake runtime."""
    # A floor that has no wheel is none: nothing is built from its source.
    wheels = ("--only-binary", ":all:", "--requirement", str(REQUIREMENTS / f"{dependencies}.txt"))
    if dependencies == "newest":
        session.install("--upgrade", *wheels, ".[cli,frames,numpy,progress,proto,testing]")
    else:
        session.install(*wheels)
    session.install("--no-deps", "--editable", ".")
    chosen = session.posargs or ("tests/unit", "tests/wire", "tests/testing/fake")
    pytest = ("python", "-m", "pytest", "--numprocesses", "4", "--dist", "worksteal")
    session.run(*pytest, *chosen, env={"REMOTE_CLIENT_TEST_MATRIX": dependencies})


@nox.session(python=PYTHONS[0])
def inside_caikit(session: nox.Session) -> None:
    """Run the tests of the client inside caikit, in an environment as the runtime's but for caikit."""
    (extra,) = PROJECT["project"]["optional-dependencies"]["caikit"]
    lowest = extra.removeprefix("caikit>=").partition(",")[0]
    lines = (REQUIREMENTS / "runtime.txt").read_text().splitlines()
    rest = [line for line in lines if not line.startswith(("#", "caikit=="))]
    session.install(*rest, f"caikit=={lowest}")
    chosen = session.posargs or ("-m", "not slow", "tests/caikit")
    pytest = ("python", "-m", "pytest", "--numprocesses", "2", "--dist", "loadfile")
    session.run(*pytest, *chosen, env={"RUNTIME_PYTHON": str(Path(session.bin, "python").absolute())})


def missing(session: nox.Session) -> None:
    """Name a Python that is not here."""
    version = session.name.removeprefix("tests-")
    session.skip(f"no Python {version} starts on this machine")


for version, folder in FOLDERS.items():
    if not folder:
        nox.session(python=False, name=f"tests-{version}")(missing)
