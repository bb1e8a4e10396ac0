"""`python -m benchmarks.page benchmarks.json`: publishes a run, as the tables of docs/speed.md and as its plots.

The figures stay in docs/pictures/speed.json, of which the tables and the plots are made: without a file, anew.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from . import growth
from .__main__ import FILES
from .plots import check, draw
from .report import cells

DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURES = DOCS / "speed.md", DOCS / "pictures"
FIGURES = PICTURES / "speed.json"
HEAD = ("case", "what", "median", "to the floor", "CPU", "CPU to the floor")
SECTION = re.compile(
    r"(?<=<!-- figures: )(?P<files>[a-z_, ]+)(?P<open> -->\n\n).*?(?=<!-- end of figures -->)", re.DOTALL
)
RUN = re.compile(r"(?<=<!-- run -->\n\n).*?(?=<!-- end of run -->)", re.DOTALL)
TOLD = ("date", "python", "libraries", "libraries of the cases of caikit", "machine", "cores", "server")
"""What the page says of a run."""


def main() -> None:
    """Publish runs, or make page and plots anew of what is published."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.page", description=__doc__)
    parser.add_argument(
        "files", type=Path, nargs="*", help="of `python -m benchmarks --json`; later ones replace cases"
    )
    wish = parser.parse_args()
    check()
    if wish.files:
        FIGURES.write_text(packed(merged([json.loads(file.read_text()) for file in wish.files])))
    run = json.loads(FIGURES.read_text())
    PAGE.write_text(page(PAGE.read_text(), run))
    draw(run["figures"], PICTURES)


def merged(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the cases of several runs as those of one.

    Raises:
        SystemExit: they are not all cases, so that the page would lose figures.
    """
    cases: dict[str, list[dict[str, Any]]] = {}
    left_out: dict[str, str] = {}
    for run in runs:
        for name in dict.fromkeys(figure["case"] for figure in run["figures"]):
            cases[name] = []
        for figure in run["figures"]:
            cases[figure["case"]].append(figure)
        left_out |= run["left out"]
    missing = set(FILES) - {file_of(name) for name in [*cases, *left_out]}
    if missing:
        raise SystemExit(f"these cases are missing: {', '.join(sorted(missing))}; the page needs a whole run")
    dates = "; ".join(run["about"]["date"] for run in runs)
    figures = [figure for name in sorted(cases, key=_place) for figure in cases[name]]
    told = {name: runs[0]["about"][name] for name in TOLD} | {"date": dates}
    told["machine"] = told["machine"].partition(";")[0]  # without the kernel
    return {"about": told, "effort": runs[0]["effort"], "figures": figures}


def _place(case: str) -> int:
    return FILES.index(file_of(case))


def file_of(case: str) -> str:
    """Return the file of a case, whose name begins with it."""
    if case.startswith("caikit over HTTP"):
        return "caikit_http"
    (file,) = (file for file in FILES if re.match(rf"{file}(?![a-z_])", case))
    return file


def packed(run: dict[str, Any]) -> str:
    """Return a run as JSON, a figure a line, with as many digits as mean something."""
    about, effort = json.dumps(run["about"], indent=1), json.dumps(run["effort"])
    figures = ",\n".join(json.dumps({key: _short(value) for key, value in each.items()}) for each in run["figures"])
    return f'{{"about": {about},\n"effort": {effort},\n"figures": [\n{figures}\n]}}\n'


def _short(value: Any) -> Any:
    return float(f"{value:.4g}") if isinstance(value, float) else value


def page(text: str, run: dict[str, Any]) -> str:
    """Return the page with the figures of a run in the places that name their files."""
    files: dict[str, list[dict[str, Any]]] = {}
    for figure in run["figures"]:
        files.setdefault(file_of(figure["case"]), []).append(figure)

    def section(match: re.Match[str]) -> str:
        figures = [figure for file in match["files"].split(", ") for figure in files.get(file, ())]
        told = growth.tables(figures) if match["files"] == "growth" else table(figures)
        return f"{match['files']}{match['open']}{told if figures else 'Not measured.'}\n\n"

    return SECTION.sub(section, RUN.sub(lambda _: f"{about(run)}\n\n", text))


def about(run: dict[str, Any]) -> str:
    """Return what the figures of a run depend on."""
    rows = (f"| {name} | {value} |" for name, value in run["about"].items())
    return "\n".join([f"| rounds | {run['effort']['rounds']} |", "|---|---|", *rows])


def table(figures: Iterable[dict[str, Any]]) -> str:
    """Return figures as a table of the page, which has no quartiles."""
    lines: list[tuple[str, ...]] = [HEAD]
    last = ""
    for figure in figures:
        case, variant, value, ratio, _, cpu, cpu_ratio, _ = cells(figure)
        lines.append(("" if case == last else case, variant, value, ratio, cpu, cpu_ratio))
        last = case
    head, *rows = ("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([head, "|---" * len(HEAD) + "|", *rows])


if __name__ == "__main__":
    main()
