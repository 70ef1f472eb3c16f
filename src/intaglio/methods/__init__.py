"""Approximations: one file each, listed in METHODS."""

from intaglio.methods.binary import Binary
from intaglio.methods.block_floating_point import BlockFloatingPoint
from intaglio.methods.catalogue import METHODS
from intaglio.methods.dorefa import Dorefa
from intaglio.methods.fixed_point import FixedPoint
from intaglio.methods.incremental import Incremental
from intaglio.methods.learned_bits import LearnedBits
from intaglio.methods.logarithmic import Logarithmic
from intaglio.methods.method import Choice, Method, SearchSpace, Span
from intaglio.methods.minifloat import Minifloat
from intaglio.methods.mixed_precision import MixedPrecision
from intaglio.methods.multi_base import MultiBase
from intaglio.methods.pact import Pact
from intaglio.methods.prune import Prune
from intaglio.methods.recipe import Recipe
from intaglio.methods.ternary import Ternary
from intaglio.methods.trained_ternary import TrainedTernary

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
    "Recipe",
    "SearchSpace",
    "Span",
    "Ternary",
    "TrainedTernary",
]
