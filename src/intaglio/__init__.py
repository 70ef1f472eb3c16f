"""Intaglio carves trained neural networks into custom hardware, bit for bit and cycle for cycle."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intaglio.hardware.design import Design, Fold, carve
    from intaglio.hardware.emit import emit
    from intaglio.hardware.simulate import build
    from intaglio.hardware.synthesize import synthesize
    from intaglio.hardware.verify import compare
    from intaglio.ir.errors import IntaglioError
    from intaglio.ir.graph import Graph
    from intaglio.methods import FixedPoint, Prune
    from intaglio.recipe import Recipe
    from intaglio.train import evaluate, fit
    from intaglio.trial import check
    from intaglio.twin.lower import equal, lower

_HOMES = {
    "Design": "hardware.design", "Fold": "hardware.design", "carve": "hardware.design", "emit": "hardware.emit",
    "build": "hardware.simulate", "synthesize": "hardware.synthesize", "compare": "hardware.verify",
    "IntaglioError": "ir.errors", "Graph": "ir.graph", "FixedPoint": "methods", "Prune": "methods",
    "Recipe": "recipe", "equal": "twin.lower", "lower": "twin.lower", "check": "trial", "evaluate": "train",
    "fit": "train",
}  # fmt: skip

__all__ = [
    "Design", "FixedPoint", "Fold", "Graph", "IntaglioError", "Prune", "Recipe", "build", "carve", "check", "compare",
    "emit", "equal", "evaluate", "fit", "lower", "synthesize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `intaglio.ir` and the hardware work without loading torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'intaglio' has no attribute {name!r}")
    return getattr(import_module(f"intaglio.{_HOMES[name]}"), name)
