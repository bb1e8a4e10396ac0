"""What is made of a run's figures: plots, and the page on speed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks import page, plots
from benchmarks.__main__ import FILES

RUN = json.loads(Path(__file__).with_name("run.json").read_text())
"""A few cases of a run, as `python -m benchmarks --json` writes it."""
ROOT = page.DOCS.parent


def texts(svg: str) -> list[str]:
    """The text of a picture, word by word as it is drawn."""
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def whole_run() -> dict[str, Any]:
    """A run with a case of every file."""
    figure = RUN["figures"][0]
    names = {file_: "caikit over HTTP, threads: 1" if file_ == "caikit_http" else f"{file_} x" for file_ in FILES}
    return RUN | {"figures": [figure | {"case": name} for name in names.values()]}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    pytest.importorskip("matplotlib")
    files = plots.draw(RUN["figures"], tmp_path_factory.mktemp("plots"))
    return {file.name: file.read_text() for file in files}


def test_every_picture_is_drawn_for_light_and_dark_pages(drawn: dict[str, str]) -> None:
    assert sorted(drawn) == sorted(f"{name}-{scheme}.svg" for name in plots.PICTURES for scheme in plots.SCHEMES)


def test_the_summary_has_ratios_to_the_floor(drawn: dict[str, str]) -> None:
    words = texts(drawn["summary-light.svg"])
    for label, ratio in (("gRPC call, 32 in flight", "0.45"), ("the same: caikit's client", "1.71")):
        assert label in words
        assert ratio in words


def test_streams_are_drawn_as_items_a_second(drawn: dict[str, str]) -> None:
    words = texts(drawn["throughput-dark.svg"])
    assert {"38.3", "36.8", "gRPC"} <= set(words)  # of 26.1 and 27.2 us an item


def test_a_legend_names_what_is_drawn_and_no_more(drawn: dict[str, str]) -> None:
    words = texts(drawn["latency-light.svg"])
    assert {"remote_client", "floor: bytes only", "its engine, bytes only", "caikit's client"} <= set(words)
    assert "httpx and pydantic" not in words


def test_growth_is_drawn_with_a_panel_for_what_grows(drawn: dict[str, str]) -> None:
    words = texts(drawn["growth-light.svg"])
    assert {"models, listed", "remote_client", "floor: bytes only"} <= set(words)
    assert "protobuf alone" not in words


def test_figures_are_told_apart_without_colours() -> None:
    looks = set(plots.LOOKS.values())
    assert len({look.marker for look in looks}) == len({look.hatch for look in looks}) == len(looks)


def test_equal_figures_make_equal_files(drawn: dict[str, str], tmp_path: Path) -> None:
    again = {file.name: file.read_text() for file in plots.draw(RUN["figures"], tmp_path)}
    assert again == drawn
    assert not any(re.search(r"dc:date|dc:creator", text) for text in drawn.values())


def test_a_run_without_the_cases_of_a_picture_draws_the_others(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    streams = [figure for figure in RUN["figures"] if figure["case"] == "stream out rich"]
    assert {file.stem for file in plots.draw(streams, tmp_path)} == {
        f"{name}-{scheme}" for name in ("summary", "throughput") for scheme in plots.SCHEMES
    }
    assert not plots.draw([], tmp_path)


def test_the_command_draws_the_figures_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    command = [sys.executable, "-W", "error", "-m", "benchmarks.plots", str(Path(__file__).with_name("run.json"))]
    told = subprocess.run(
        [*command, "--folder", str(tmp_path)], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    )
    assert told.stdout.splitlines() == [
        str(tmp_path / f"{name}-{scheme}.svg") for name in plots.PICTURES for scheme in plots.SCHEMES
    ]


def test_matplotlib_is_imported_for_plots_alone_and_named_where_it_is_missing(tmp_path: Path) -> None:
    tmp_path.joinpath("matplotlib.py").write_text("raise ImportError")
    code = "import benchmarks.page, benchmarks.plots; benchmarks.plots.check()"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert ended.stderr == "plots need matplotlib: pip install -r tests/requirements/client.txt\n"


# -- the page ----------------------------------------------------------------------------------------------------------

TEXT = """# Speed

<!-- run -->

old

<!-- end of run -->

<!-- figures: grpc, stream -->

old

<!-- end of figures -->

Between.

<!-- figures: bulk -->

<!-- end of figures -->

<!-- figures: growth -->

<!-- end of figures -->
"""


def test_figures_take_the_places_of_the_page_that_name_their_files() -> None:
    written = page.page(TEXT, RUN)
    first, _, last = written.partition("Between")
    assert "| client | 2.0 ms | 21.0 ms | 1.02 |" in last
    assert "old" not in written
    assert "| date | 2026-11-29 11:28 UTC |" in first
    assert "|  | client | 31.0 us/call | 0.45 | 24.6 us | 0.35 |" in first
    assert "| stream out rich | grpc.aio, bytes | 27.2 us/item |  | 27.1 us |  |" in first
    assert "Not measured." in last
    assert page.page(written, RUN) == written


def test_the_page_has_a_place_for_every_file_once() -> None:
    named = [name for match in page.SECTION.finditer(page.PAGE.read_text()) for name in match["files"].split(", ")]
    assert sorted(named) == sorted(FILES)


def test_the_page_has_the_figures_that_are_published() -> None:
    assert page.page(page.PAGE.read_text(), json.loads(page.FIGURES.read_text())) == page.PAGE.read_text()


def test_the_plots_have_the_figures_that_are_published(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for file in plots.draw(json.loads(page.FIGURES.read_text())["figures"], tmp_path):
        assert texts(page.PICTURES.joinpath(file.name).read_text()) == texts(file.read_text())


def test_a_part_of_a_run_is_not_published() -> None:
    with pytest.raises(SystemExit, match=r"these cases are missing: bulk, .*; the page needs a whole run"):
        page.merged([RUN])


def test_a_case_that_was_left_out_is_not_missing() -> None:
    run = whole_run()
    figures = [figure for figure in run["figures"] if not figure["case"].startswith("envoy")]
    page.merged([run | {"figures": figures, "left out": {"envoy": "it is not installed"}}])


def test_the_cases_of_a_later_run_replace_those_of_an_earlier_one() -> None:
    later = RUN | {"about": RUN["about"] | {"date": "2026-12-01 08:00 UTC"}}
    both = page.merged([whole_run(), later])
    cases = [figure["case"] for figure in both["figures"]]
    assert cases.count("stream out rich") == 3
    assert "stream x" in cases
    assert [page.file_of(case) for case in cases] == sorted(map(page.file_of, cases), key=FILES.index)
    assert list(dict.fromkeys(case for case in cases if "grpc unary" in case)) == [
        "grpc unary tiny, in flight: 1",
        "grpc unary tiny, in flight: 32",
    ]
    assert both["about"]["date"] == "2026-11-29 11:28 UTC; 2026-12-01 08:00 UTC"


def test_published_figures_are_a_line_each() -> None:
    written = page.packed(page.merged([whole_run()]))
    assert json.loads(written)["effort"] == RUN["effort"]
    assert len([line for line in written.splitlines() if '"case"' in line]) == len(FILES)
    assert "Linux" not in written
