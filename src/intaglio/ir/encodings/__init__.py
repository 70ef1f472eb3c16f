"""How constant integer matrices are stored; lowering keeps the cheapest form."""

from intaglio.ir.encodings.dense import Dense
from intaglio.ir.encodings.encoding import Encoding
from intaglio.ir.encodings.sparse import Sparse
from intaglio.ir.types import Array

ENCODINGS: tuple[type[Encoding], ...] = (Dense, Sparse)


def cheapest(matrix: Array) -> Encoding:
    """The encoding of a matrix (rows, columns) that takes the fewest bits, all side tables included."""
    forms = [form for form in (encoding.encode(matrix) for encoding in ENCODINGS) if form is not None]
    return min(forms, key=lambda form: form.bits())


__all__ = ["ENCODINGS", "Dense", "Encoding", "Sparse", "cheapest"]
