"""Approximations: one file each, listed in METHODS."""

from importlib import import_module
from typing import Any

from intaglio.methods.catalogue import METHODS
from intaglio.methods.formats.binary import Binary
from intaglio.methods.formats.block_floating_point import BlockFloatingPoint
from intaglio.methods.formats.dorefa import Dorefa
from intaglio.methods.formats.fixed_point import FixedPoint
from intaglio.methods.formats.incremental import Incremental
from intaglio.methods.formats.learned_bits import LearnedBits
from intaglio.methods.formats.logarithmic import Logarithmic
from intaglio.methods.formats.minifloat import Minifloat
from intaglio.methods.formats.mixed_precision import MixedPrecision
from intaglio.methods.formats.multi_base import MultiBase
from intaglio.methods.formats.pact import Pact
from intaglio.methods.formats.ternary import Ternary
from intaglio.methods.formats.trained_ternary import TrainedTernary
from intaglio.methods.weights.prune import Prune
from intaglio.twin.method import Choice, Method, SearchSpace, Span

__all__ = [
    "METHODS",
    "Binary",
    "BlockFloatingPoint",
    "Choice",
    "Dorefa",
    "FixedPoint",
    "Incremental",
    "LearnedBits",
    "Logarithmic",
    "Method",
    "Minifloat",
    "MixedPrecision",
    "MultiBase",
    "Pact",
    "Prune",
    "SearchSpace",
    "Span",
    "Ternary",
    "TrainedTernary",
]


def __getattr__(name: str) -> Any:
    """`Recipe`, which is one floor up, under the name by which it is known here."""
    if name != "Recipe":
        raise AttributeError(f"module 'intaglio.methods' has no attribute {name!r}")
    return import_module("intaglio.recipe").Recipe
