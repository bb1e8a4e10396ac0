"""The examples of the README and of other pages, run in order against a real runtime."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .runtime import Runtime

README = Path(__file__).parent.parent.parent / "README.md"
DOCS = README.parent / "docs"


class Block(NamedTuple):
    """A fenced block of a page: its heading, its language, the name of the file that it is (or ""), its text."""

    heading: str
    language: str
    title: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    """Every fenced block of a page, also those within tabs and notes."""
    heading = ""
    pattern = r"^## ([^\n]+)$|^( *)```(\w*)(?: title=\"([^\"]+)\")?\n(.*?)^\2```$"
    for match in re.finditer(pattern, page.read_text(), re.MULTILINE | re.DOTALL):
        if match[1]:
            heading = match[1]
        else:
            yield Block(heading, match[3], match[4] or "", textwrap.dedent(match[5]))


def examples(page: Path = README) -> Iterator[tuple[str, str]]:
    """Each Python example and the heading it stands under."""
    for block in blocks(page):
        if block.language == "python" and not block.title:
            yield block.heading, block.text


async def run(code: str, runtime: Runtime, names: dict[str, Any], *, apart: bool = False) -> None:
    """Run one example, with its names kept for the next: a whole script in a process of its own, others right here.

    `apart` keeps all of a script out of this process, which it would change.
    """
    code = code.replace("http://localhost:8080", runtime.http_target)
    code = code.replace("localhost:8085", runtime.target).replace('"port": 8085', f'"port": {runtime.port}')
    code = code.replace("port=8085", f"port={runtime.port}")
    if "asyncio.run(" in code:
        process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code)
        if await process.wait():
            raise RuntimeError(f"the example ended with exit code {process.returncode}")
        if apart:
            return
        code = code.partition("asyncio.run(")[0]  # what it imports and defines is there for those that follow
    compiled = compile(code, "README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(compiled, names)
    if inspect.isawaitable(result):
        await result
