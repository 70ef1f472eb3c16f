"""Hardware units, one file each: the module and its stages, the rule that carves it, its folds, its timing.

To import this package registers all of them with `carving`: import `Carving` and `fold_options` from here. A new unit
is one file and one name here.
"""

from intaglio.hardware.carving import Carving, Option, fold_options
from intaglio.hardware.units import (
    align,
    argmax,
    elementwise,
    joins,
    lookup,
    matmul,
    pool,
    requantize,
    reshape,
    threshold,
)

__all__ = [
    "Carving", "Option", "align", "argmax", "elementwise", "fold_options", "joins", "lookup", "matmul",
    "pool", "requantize", "reshape", "threshold",
]  # fmt: skip
