"""Draws `architecture.toml` and `way-of-a-call.toml` as SVG, for light and dark pages: `python -m docs.pictures.draw`.

The pictures are 520 wide, so that they can be read on a phone. Fonts are the reader's own.
"""

from __future__ import annotations

import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WIDTH, EDGE, GAP = 520, 12, 8
ROW, LINE = 22, 17
"""Heights of a package, and of a line of text."""
NAMES = 140
"""The width of the column of names."""
SANS, MONO = "font-family='sans-serif'", "font-family='monospace'"
COLOURS = {
    "light": {
        "page": "#ffffff",
        "band": "#f1f4f8",
        "line": "#c4ccd4",
        "text": "#1f2328",
        "pale": "#57606a",
        "public": "#0072b2",
        "out": "#0072b2",
        "back": "#a84300",
    },
    "dark": {
        "page": "#0d1117",
        "band": "#1b222c",
        "line": "#3d4650",
        "text": "#e6edf3",
        "pale": "#a2abb5",
        "public": "#56b4e9",
        "out": "#56b4e9",
        "back": "#e69f00",
    },
}
Colours = Mapping[str, str]


def main() -> None:
    """Write all pictures."""
    for name, text in pictures().items():
        HERE.joinpath(name).write_text(text)


def pictures() -> dict[str, str]:
    """Return the pictures by the names of their files."""
    drawn: dict[str, Callable[[Any, Colours], str]] = {"architecture": architecture, "way-of-a-call": way}
    return {
        f"{name}-{scheme}.svg": draw(read(name), colours)
        for name, draw in drawn.items()
        for scheme, colours in COLOURS.items()
    }


def read(name: str) -> Any:
    """Return the text that a picture is drawn from."""
    return tomllib.loads(HERE.joinpath(f"{name}.toml").read_text())


# -- the architecture --------------------------------------------------------------------------------------------------


def architecture(text: Any, colours: Colours) -> str:
    """Draw a band for each layer, with a line for each of its packages."""
    parts, y = [_title(text["title"], colours)], 48
    for layer in text["layer"]:
        height = ROW * len(layer) + 10
        parts.append(_box(EDGE, y, WIDTH - 2 * EDGE, height, colours["band"], colours["line"]))
        for number, (name, does) in enumerate(layer.items()):
            parts.extend(_package(y + 5 + number * ROW, name, does, colours))
        y += height + GAP
    parts.extend(_note(text["note"], y, colours))
    told = "; ".join(", ".join(f"{name} ({does})" for name, does in layer.items()) for layer in text["layer"])
    return _svg(text["title"], f"From top to bottom: {told}. {text['note']}", y + 44, parts, colours)


def _package(y: float, name: str, does: str, colours: Colours) -> Iterator[str]:
    if not name.startswith("_"):
        yield _box(EDGE + 6, y + 1, NAMES - 6, ROW - 2, colours["page"], colours["public"])
    yield _text(EDGE + 14, y + 16, name, f"{MONO} font-size='14' fill='{colours['text']}'")
    yield _text(EDGE + NAMES + 14, y + 16, does, f"{SANS} font-size='15' fill='{colours['text']}'")


# -- the way of a call -------------------------------------------------------------------------------------------------

HALF = (WIDTH - 2 * EDGE) / 2
WRAPPED = 29
"""Characters of a line in half the width."""


def way(text: Any, colours: Colours) -> str:
    """Draw a band for each step: the way out on the left, the way back on the right."""
    parts, y = [_title(text["title"], colours)], 48.0
    parts.append(_end(y, text["top"], colours))
    y += 34
    first = y
    bands: list[str] = []
    for step in text["step"]:
        sides = [step.get("out"), step.get("back")]
        lines = max(len(_wrapped(side)) for side in sides if side)
        height = 26 + LINE * (lines + 1) + 8
        bands.append(_box(EDGE, y + GAP, WIDTH - 2 * EDGE, height, colours["band"], colours["line"]))
        file = f"{MONO} font-size='13' fill='{colours['pale']}' text-anchor='middle'"
        bands.append(_text(WIDTH / 2, y + GAP + 18, step["file"], file))
        for side, x, colour in ((sides[0], EDGE + 22, "out"), (sides[1], EDGE + HALF + 6, "back")):
            bands.extend(_side(side, x, y + GAP + 26, colours[colour], colours))
        y += height + GAP
    parts.append(_arrow(EDGE + 10, first, y + GAP, colours["out"]))
    parts.append(_arrow(WIDTH - EDGE - 10, y + GAP, first, colours["back"]))
    parts[2:2] = bands  # below the arrows
    parts.append(_end(y + GAP, text["bottom"], colours))
    y += GAP + 34
    parts.extend(_note(text["note"], y + GAP, colours))
    told = "; ".join(_told(step) for step in text["step"])
    return _svg(text["title"], f"From {text['top']} to the {text['bottom']}: {told}.", round(y + 52), parts, colours)


def _told(step: Any) -> str:
    sides = (f"{way}: {step[way]['name']} {step[way]['does']}" for way in ("out", "back") if way in step)
    return f"{step['file']}, {', '.join(sides)}"


def _wrapped(side: Any) -> list[str]:
    return textwrap.wrap(side["does"], WRAPPED)


def _side(side: Any, x: float, y: float, colour: str, colours: Colours) -> Iterator[str]:
    if side is None:
        return
    yield _text(x, y + 14, side["name"], f"{MONO} font-size='13' font-weight='bold' fill='{colour}'")
    for number, line in enumerate(_wrapped(side), 1):
        yield _text(x, y + 14 + number * LINE, line, f"{SANS} font-size='14' fill='{colours['text']}'")


def _end(y: float, text: str, colours: Colours) -> str:
    box = _box(EDGE, y, WIDTH - 2 * EDGE, 34, colours["page"], colours["text"])
    words = _text(WIDTH / 2, y + 22, text, f"{MONO} font-size='15' fill='{colours['text']}' text-anchor='middle'")
    return f"{box}\n{words}"


def _arrow(x: float, start: float, end: float, colour: str) -> str:
    tip = 9 if end > start else -9
    line = f"<path d='M{x} {start}V{end - tip}' stroke='{colour}' stroke-width='2' fill='none'/>"
    return f"{line}\n<path d='M{x - 5} {end - tip}h10L{x} {end}z' fill='{colour}'/>"


# -- SVG ---------------------------------------------------------------------------------------------------------------


def _svg(title: str, description: str, height: float, parts: Iterable[str], colours: Colours) -> str:
    size = f"width='{WIDTH}' height='{height}' viewBox='0 0 {WIDTH} {height}'"
    lines = [
        f"<svg xmlns='http://www.w3.org/2000/svg' {size} role='img' aria-labelledby='title description'>",
        f"<title id='title'>{escape(title, quote=False)}</title>",
        f"<desc id='description'>{escape(description, quote=False)}</desc>",
        f"<rect width='{WIDTH}' height='{height}' rx='8' fill='{colours['page']}'/>",
        *parts,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _title(text: str, colours: Colours) -> str:
    return _text(EDGE, 32, text, f"{SANS} font-size='18' font-weight='bold' fill='{colours['text']}'")


def _note(text: str, y: float, colours: Colours) -> Iterator[str]:
    for number, line in enumerate(textwrap.wrap(text, 72)):
        yield _text(EDGE, y + 14 + number * LINE, line, f"{SANS} font-size='13' fill='{colours['pale']}'")


def _box(x: float, y: float, width: float, height: float, fill: str, stroke: str) -> str:
    place = f"x='{x}' y='{y}' width='{width}' height='{height}'"
    return f"<rect {place} rx='5' fill='{fill}' stroke='{stroke}'/>"


def _text(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x}' y='{y}' {style}>{escape(text, quote=False)}</text>"


if __name__ == "__main__":
    main()
