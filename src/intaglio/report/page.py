"""ReportData to one HTML text."""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import cast

from jinja2 import DictLoader, Environment, StrictUndefined, Template
from markupsafe import Markup

from intaglio.measure import NAMES
from intaglio.report import text
from intaglio.report.data import ReportData
from intaglio.report.figures.accuracy import accuracies
from intaglio.report.figures.histograms import histograms
from intaglio.report.figures.occupancy import occupancy
from intaglio.report.figures.ranges import ranges
from intaglio.report.figures.storage import storages
from intaglio.report.verdict import verdict

COLUMNS = (
    ("cycles_modelled", "cycles", "modelled"),
    ("cycles_simulated", "cycles", "simulated"),
    ("lut4_eq", "LUT4-eq", ""),
    ("ff", "FF", ""),
    ("dsp", "DSP", ""),
    ("bram", "BRAM", ""),
)
"""Columns of the table of layers that are left out where no layer has the number."""


def render(report: ReportData) -> str:
    """The page: self-contained, without a single request to anything outside it."""
    own = [m for m in report.measurements if m.subject == report.subject]
    figures = {
        "occupancy": occupancy(report.units, report.interval),
        "accuracies": accuracies(report.accuracies),
        "storages": storages(report.layers),
        "histograms": histograms(report.weights),
        "ranges": ranges(report.ranges),
    }
    columns = [c for c in COLUMNS if any(getattr(layer, c[0]) is not None for layer in report.layers)]
    style = Markup(_resource("style.css"))
    return _template().render(
        r=report, cards=verdict(own), figures=figures, names=NAMES, style=style, columns=columns
    )


@cache
def _template() -> Template:
    pages = {"page.html": _resource("page.html")}
    environment = Environment(
        loader=DictLoader(pages),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = cast(dict[str, Callable[..., str]], environment.filters)  # pyright: ignore
    filters.update(number=text.number, seconds=text.seconds)
    return environment.get_template("page.html")


def _resource(name: str) -> str:
    return files("intaglio.report").joinpath(name).read_text(encoding="utf-8")
