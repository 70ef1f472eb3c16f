"""Every method, in the order of the survey. A new method is one file and one line here."""

from intaglio.methods.binary import Binary
from intaglio.methods.block_floating_point import BlockFloatingPoint
from intaglio.methods.dorefa import Dorefa
from intaglio.methods.fixed_point import FixedPoint
from intaglio.methods.incremental import Incremental
from intaglio.methods.learned_bits import LearnedBits
from intaglio.methods.logarithmic import Logarithmic
from intaglio.methods.method import Method
from intaglio.methods.minifloat import Minifloat
from intaglio.methods.mixed_precision import MixedPrecision
from intaglio.methods.multi_base import MultiBase
from intaglio.methods.pact import Pact
from intaglio.methods.prune import Prune
from intaglio.methods.ternary import Ternary
from intaglio.methods.trained_ternary import TrainedTernary

METHODS: tuple[type[Method], ...] = (
    FixedPoint,
    MixedPrecision,
    LearnedBits,
    Pact,
    Dorefa,
    BlockFloatingPoint,
    Minifloat,
    Binary,
    Ternary,
    TrainedTernary,
    MultiBase,
    Logarithmic,
    Incremental,
    Prune,
)
