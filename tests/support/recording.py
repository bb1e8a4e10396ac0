"""The picture of a terminal in docs/pictures/, which `make pictures` records anew.

Commands and answers are real; the pauses between them are the picture's. It moves where the reader's system likes
motion, and shows the whole session anywhere else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from .runtime import SAMPLE_MODELS, Runtime, free_port
from .session import MODELS, outputs
from .wire import ROOT

PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"
COLUMNS = 72
COMMANDS = (
    "remote-client models",
    "remote-client describe run_sample",
    """remote-client call foo SampleTask sample_input:='{"name": "World"}'""",
    "remote-client call foo run_sample_stream_out \\\nsample_input.name=World count:=3",
)
SIZE, CHARACTER, LINE = 14, 8.4, 20
"""The size of the font, the width of a character, the height of a line."""
LEFT, TOP = 18, 64
TYPED, ANSWERED, READ, NEXT_ITEM = 0.025, 0.4, 1.3, 0.35
"""Seconds: for a character, until an answer, to read it, and between the lines of a stream."""
STYLE = """
text { font-family: ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace; fill: #c9d1d9 }
.typed { fill: #ffffff; font-weight: bold }
.prompt { fill: #56b4e9; font-weight: bold }
@media screen and (prefers-reduced-motion: no-preference) {
  @keyframes show { from { opacity: 0 } }
  @keyframes type { from { clip-path: inset(0 100% 0 0) } to { clip-path: inset(0) } }
  .prompt, .typed, .answer { animation: show 1ms both }
  .typed { animation-name: type }
}
"""


class Line(NamedTuple):
    """A line on the screen: its text, its class, when it comes (seconds), and how long it is typed."""

    text: str
    kind: str
    begins: float
    lasts: float = 0


def main() -> None:
    """Record the session, and draw it."""
    with Runtime(models={name: SAMPLE_MODELS[name] for name in MODELS}, ports=(free_port(), free_port())) as runtime:
        PICTURE.write_text(picture(COMMANDS, written(COMMANDS, runtime)))


def written(commands: Sequence[str], runtime: Runtime) -> list[str]:
    """Return what the commands write on a terminal of the picture's width."""
    with tempfile.TemporaryDirectory() as folder:
        return outputs(commands, runtime, Path(folder), COLUMNS)


def shown(svg: str) -> str:
    """Return the text of a picture with its prompts, without empty lines."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    lines: dict[str, str] = {}
    for text in texts:
        if text.get("class") != "title":
            lines[text.get("y", "")] = lines.get(text.get("y", ""), "") + (text.text or "")
    return "".join(f"{line}\n" for line in lines.values()).replace("\N{NO-BREAK SPACE}", " ")


def session(commands: Sequence[str], answers: Sequence[str]) -> str:
    """Return commands and answers as a terminal shows them."""
    pairs = zip(commands, answers, strict=True)
    return "".join("$ " + command.replace("\n", "\n> ") + f"\n{answer}" for command, answer in pairs)


def picture(commands: Sequence[str], answers: Sequence[str]) -> str:
    """Draw a session."""
    lines = list(_lines(commands, answers))
    width = round(2 * LEFT + COLUMNS * CHARACTER)
    height = TOP + LINE * max(row for row, _ in lines) + 16
    size = f"width='{width}' height='{height}' viewBox='0 0 {width} {height}'"
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' aria-labelledby='title description'>",
        "<title id='title'>A session in a terminal</title>",
        f"<desc id='description'>{escape(session(commands, answers), quote=False)}</desc>",
        f"<style>{STYLE}</style>",
        f"<rect width='{width}' height='{height}' rx='8' fill='#0d1117' stroke='#3d4650'/>",
        *(f"<circle cx='{x}' cy='20' r='6' fill='#3d4650'/>" for x in (24, 44, 64)),
        f"<text class='title' x='{width / 2}' y='25' font-size='13' text-anchor='middle'>remote-client</text>",
        *(_text(row, line) for row, line in lines),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _lines(commands: Sequence[str], answers: Sequence[str]) -> Iterator[tuple[int, Line]]:
    """Yield lines with their rows."""
    row, now = 0, 0.5
    for command, answer in zip(commands, answers, strict=True):
        for number, part in enumerate(command.splitlines()):
            yield row, Line("> " if number else "$ ", "prompt", now)
            yield row, Line(part, "typed", now + 0.3, TYPED * len(part))
            now += 0.3 + TYPED * len(part)
            row += 1
        now += ANSWERED
        pause = NEXT_ITEM if "stream" in command else 0
        for number, text in enumerate(answer.splitlines()):
            if text:
                yield row, Line(text, "answer", now + number * pause)
            row += 1
        now += READ + pause * len(answer.splitlines())


def _text(row: int, line: Line) -> str:
    x = LEFT if line.kind != "typed" else LEFT + 2 * CHARACTER
    length = f"textLength='{len(line.text) * CHARACTER:.1f}' lengthAdjust='spacingAndGlyphs'"
    lasts = f"; animation-duration: {line.lasts:.2f}s; animation-timing-function: steps({len(line.text)})"
    style = f"animation-delay: {line.begins:.2f}s{lasts if line.lasts else ''}"
    place = f"x='{x:.1f}' y='{TOP + LINE * row}' font-size='{SIZE}' {length}"
    text = escape(line.text, quote=False).replace(" ", "\N{NO-BREAK SPACE}")
    return f"<text class='{line.kind}' {place} style='{style}'>{text}</text>"


if __name__ == "__main__":
    main()
