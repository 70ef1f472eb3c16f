"""Every method, in the order of the survey. A new method is one file and one line here."""

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
from intaglio.twin.method import Method

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
