"""Shell commands on the pages: their options, make's targets and the extras exist."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_client._cli.cyclopts_app import parse

from ..support.readme import DOCS, README, blocks

ROOT = README.parent
PAGES = [README, ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md")), *sorted(ROOT.glob("examples/*/README.md"))]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
EXTRAS = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def commands(page: Path) -> Iterator[str]:
    """The commands in a page's shell blocks, and those in its text."""
    for block in blocks(page):
        lines = block.text.replace("\\\n", " ").splitlines()
        if block.language == "sh":
            yield from lines
        elif block.language == "console":
            yield from (line.removeprefix("$ ") for line in lines if line.startswith("$ "))
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    yield from re.findall(r"`((?:make|pip) [^`]+)`", text)


def words_of(command: str) -> Iterator[list[str]]:
    """The words of each command of a pipeline, without variables and redirections."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;()<>")
    lexer.whitespace_split, lexer.commenters = True, "#"
    words: list[str] = []
    skip = False
    for word in lexer:
        if set(word) <= set("|&;()"):
            yield words
            words = []
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        elif words or not re.fullmatch(r"[A-Z_]+=.*", word):
            words.append(word)
    yield words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_those_that_there_are(page: Path) -> None:
    extras = r"^\.\./\.\.\[([a-z,]+)\]" if page.is_relative_to(ROOT / "examples") else r"^\.\[([a-z,]+)\]"
    for command in commands(page):
        for words in words_of(command):
            match words:
                case ["remote-client", *arguments] if not {"--help", "--version", "completion"} & {*arguments}:
                    parse(arguments)
                case ["make", *targets]:
                    assert {each for each in targets if "=" not in each and each[0] != "-"} <= TARGETS, command
                case ["pip", "install", *packages]:
                    named = [extra for each in packages for extra in re.findall(extras, each)]
                    assert {extra for each in named for extra in each.split(",")} <= EXTRAS, command
                    assert not any(each.startswith("remote-client") for each in packages), f"not published: {command}"
