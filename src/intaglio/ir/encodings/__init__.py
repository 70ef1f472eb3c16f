"""How constant integer matrices are stored; lowering keeps the cheapest form."""

from intaglio.ir.encodings.bases import Bases
from intaglio.ir.encodings.bipolar import Bipolar
from intaglio.ir.encodings.block_exponent import BlockExponent
from intaglio.ir.encodings.dense import Dense
from intaglio.ir.encodings.encoding import Encoding
from intaglio.ir.encodings.float import Float
from intaglio.ir.encodings.powers_of_two import PowersOfTwo
from intaglio.ir.encodings.sparse import Sparse
from intaglio.ir.encodings.ternary import Ternary
from intaglio.ir.types import Array

ENCODINGS: tuple[type[Encoding], ...] = (
    Dense,
    Sparse,
    Bipolar,
    Ternary,
    PowersOfTwo,
    Float,
    Bases,
    BlockExponent,
)
"""All of them. Files name an encoding by its place here: append, never reorder."""


def rows_of(constant: Array) -> Array:
    """A constant (outputs, ...) as a matrix; of a convolution's weights, the channels of one tap are neighbours."""
    if constant.ndim == 4:
        constant = constant.transpose(0, 2, 3, 1)
    return constant.reshape(len(constant), -1)


def cheapest(matrix: Array) -> Encoding:
    """The encoding of a matrix (rows, columns) of the fewest bits, all side tables included."""
    forms = (encoding.encode(matrix) for encoding in ENCODINGS)
    return min((form for form in forms if form is not None), key=lambda form: form.bits())


__all__ = [
    "ENCODINGS",
    "Bases",
    "Bipolar",
    "BlockExponent",
    "Dense",
    "Encoding",
    "Float",
    "PowersOfTwo",
    "Sparse",
    "Ternary",
    "cheapest",
    "rows_of",
]
