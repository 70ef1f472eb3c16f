"""One run as one HTML page: self-contained, offline, its verdict first."""

from intaglio.report.data import (
    Accuracy,
    BusySpan,
    FlowStep,
    Histogram,
    LayerRow,
    RangeRow,
    ReportData,
    UnitRow,
    from_json,
    to_json,
)
from intaglio.report.page import render

__all__ = [
    "Accuracy",
    "BusySpan",
    "FlowStep",
    "Histogram",
    "LayerRow",
    "RangeRow",
    "ReportData",
    "UnitRow",
    "from_json",
    "render",
    "to_json",
]
