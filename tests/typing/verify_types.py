"""Checks that all public types are complete: `pyright --verifytypes` on the package as a wheel installs it.

Pyright looks for the package in the environment of the `python` on the path, and not in an editable install.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
STUBS = ROOT / "tests" / "typing" / "stubs"  # of caikit


def main() -> int:
    """Run pyright and return its exit code: 0 if the types of all public names are known."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True)
        environment = Path(folder, "environment")
        venv.create(environment)
        packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(environment)}))
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            wheel.extractall(packages)
        (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n{STUBS}\n")
        path = f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}"
        command = [sys.executable, "-m", "pyright", "--verifytypes", "remote_client", "--ignoreexternal"]
        return subprocess.run(command, cwd=environment, env={**os.environ, "PATH": path}).returncode


if __name__ == "__main__":
    sys.exit(main())
