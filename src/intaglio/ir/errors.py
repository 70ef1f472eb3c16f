"""The errors of `intaglio.errors`, under the name by which the floors above know them."""

from intaglio.errors import (
    DataError,
    DesignError,
    GraphError,
    IntaglioError,
    RangeError,
    RecipeError,
    ShapeError,
    StructureError,
    ToolError,
    UnsupportedLayer,
    shown,
    unknown,
)

__all__ = [
    "DataError",
    "DesignError",
    "GraphError",
    "IntaglioError",
    "RangeError",
    "RecipeError",
    "ShapeError",
    "StructureError",
    "ToolError",
    "UnsupportedLayer",
    "shown",
    "unknown",
]
