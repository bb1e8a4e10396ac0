"""Types of the parameters of several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .completers import call_arguments, files, models, tasks
from .options import Options

AllOptions = Annotated[Options, Parameter(parse=False)]
"""The options of all commands; the parameter is `options`."""
Flag = Annotated[bool, Parameter(show_default=False)]
Output = Annotated[Path | None, Parameter(["--output", "-o"])]
FileName = Annotated[str, Parameter(completer=files)]
Model = Annotated[str, Parameter(completer=models)]
Task = Annotated[str, Parameter(completer=tasks)]
Word = Annotated[str, Parameter(allow_leading_hyphen=False, completer=call_arguments)]
"""A word such as `name=text`, an argument of the method that MODEL and TASK name."""
Input = Annotated[str | None, Parameter(["--input", "-i"], allow_leading_hyphen=True, completer=files)]
"""The file of arguments; `-` is standard input."""
