"""Whether a file and what was read from it agree, bit by bit."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx

from intaglio.exchange import Imported, read_qonnx
from intaglio.ir import Type
from tests.support.onnx_models import evaluate


def draw(of: Type, count: int, seed: int = 0) -> np.ndarray:
    """Integers of a Type, both ends of its range among them: (count, *shape)."""
    random = np.random.default_rng(seed)
    x = random.integers(of.range[0], of.range[1] + 1, (count, *of.shape))
    x[0], x[1] = of.range
    return x


def real(of: Type, integers: np.ndarray) -> np.ndarray:
    """The float32 nearest to integer * scale."""
    numerator, denominator = (np.float64(part) for part in of.scale[0].as_integer_ratio())
    return (integers * numerator / denominator).astype(np.float32)


def agree(path: Path, given: Type | Mapping[str, Type] | None, count: int = 24, exact: bool = True) -> Imported:
    """Read a file with one input and compare it with the evaluator, sample by sample; the file's batch is 1."""
    found = read_qonnx(path, given, exact=exact)
    (of,) = found.graph.input_types
    x = draw(of, count)
    outputs = found(x)
    shape = [axis.dim_value for axis in onnx.load(path).graph.input[0].type.tensor_type.shape.dim]
    for k in range(count):
        for mine, theirs in zip(outputs, evaluate(path, real(of, x[k]).reshape(shape)), strict=True):
            same(mine[k : k + 1], theirs)
    return found


def same(mine: np.ndarray, theirs: np.ndarray) -> None:
    """Equal in shape, type and every bit but the sign of zero."""
    assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
    assert np.array_equal(mine, theirs), f"{(mine != theirs).sum()} of {mine.size} differ"
