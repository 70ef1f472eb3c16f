"""Approximations, one file each, in folders by family. A new one is its file and one line here."""

from importlib import import_module
from typing import Any

from intaglio.methods.formats.binary import Binary as Binary
from intaglio.methods.formats.block_floating_point import BlockFloatingPoint as BlockFloatingPoint
from intaglio.methods.formats.dorefa import Dorefa as Dorefa
from intaglio.methods.formats.fixed_point import FixedPoint as FixedPoint
from intaglio.methods.formats.incremental import Incremental as Incremental
from intaglio.methods.formats.learned_bits import LearnedBits as LearnedBits
from intaglio.methods.formats.logarithmic import Logarithmic as Logarithmic
from intaglio.methods.formats.minifloat import Minifloat as Minifloat
from intaglio.methods.formats.mixed_precision import MixedPrecision as MixedPrecision
from intaglio.methods.formats.multi_base import MultiBase as MultiBase
from intaglio.methods.formats.pact import Pact as Pact
from intaglio.methods.formats.ternary import Ternary as Ternary
from intaglio.methods.formats.trained_ternary import TrainedTernary as TrainedTernary
from intaglio.methods.weights.prune import Prune as Prune
from intaglio.methods.weights.share_weights import ShareWeights as ShareWeights
from intaglio.twin.method import Choice as Choice
from intaglio.twin.method import Method as Method
from intaglio.twin.method import SearchSpace as SearchSpace
from intaglio.twin.method import Span as Span

METHODS: tuple[type[Method], ...] = tuple(
    kind for kind in list(globals().values()) if isinstance(kind, type) and issubclass(kind, Method) and kind != Method
)
"""Every method that is imported above."""


def __getattr__(name: str) -> Any:
    """`Recipe`, which is one floor up, under the name by which it is known here."""
    if name != "Recipe":
        raise AttributeError(f"module 'intaglio.methods' has no attribute {name!r}")
    return import_module("intaglio.recipe").Recipe
