"""Every error a user can cause, in one place: a message names the layer, the value and the remedy."""

import difflib
from collections.abc import Iterable


class IntaglioError(ValueError):
    """Any error that Intaglio raises on purpose."""


class UnsupportedLayer(IntaglioError):
    """A layer or a control flow that has no integer lowering."""


class RangeError(IntaglioError):
    """A value or an accumulator that does not fit its width."""


class ShapeError(IntaglioError):
    """Shapes that do not fit together."""


class GraphError(IntaglioError):
    """A Graph that is not well formed, or text that is not a Graph."""


class StructureError(IntaglioError):
    """A structure (zeros, grid) that one method made and a later one destroyed."""


class RecipeError(IntaglioError):
    """A recipe that cannot be read or makes no sense."""


class DataError(IntaglioError):
    """A data set that is missing, truncated or of the wrong shape."""


class DesignError(IntaglioError):
    """A Graph that cannot be carved as asked: a folding, a unit or a device that does not fit."""


class ToolError(IntaglioError):
    """An external tool that is missing or failed."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`what 'name'`, with the nearest of the known names as remedy."""
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
    remedy = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
    return f"{what} '{name}'; {remedy}"


def shown(value: object, most: int = 100) -> str:
    """A value in a message: its repr, cut where it is long; where Python will not write it (4300 digits) its type."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= most else f"{text[:most]}... ({len(text)} characters)"
