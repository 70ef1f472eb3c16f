"""One run as one HTML page: self-contained, offline, its verdict first."""

from intaglio.report.data import (
    Accuracy,
    FlowStep,
    Histogram,
    LayerRow,
    RangeRow,
    ReportData,
    Span,
    UnitRow,
    from_json,
    to_json,
)
from intaglio.report.page import render

__all__ = [
    "Accuracy",
    "FlowStep",
    "Histogram",
    "LayerRow",
    "RangeRow",
    "ReportData",
    "Span",
    "UnitRow",
    "from_json",
    "render",
    "to_json",
]
