"""Types of the parameters of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .options import Options

AllOptions = Annotated[Options, Parameter(parse=False)]
"""The options of all commands; the parameter is `options`."""
Flag = Annotated[bool, Parameter(show_default=False)]
Output = Annotated[Path | None, Parameter(["--output", "-o"])]
