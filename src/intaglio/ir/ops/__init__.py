"""The operations of a Graph; each is specified in docs/ir.md."""

from intaglio.ir.op import Op
from intaglio.ir.ops.add import Add
from intaglio.ir.ops.align import Align
from intaglio.ir.ops.argmax import ArgMax
from intaglio.ir.ops.concat import Concat
from intaglio.ir.ops.conv2d import Conv2d
from intaglio.ir.ops.input import Input
from intaglio.ir.ops.lookup import Lookup
from intaglio.ir.ops.matmul import MatMul
from intaglio.ir.ops.max_pool import MaxPool
from intaglio.ir.ops.pad import Pad
from intaglio.ir.ops.requantize import Requantize
from intaglio.ir.ops.reshape import Reshape
from intaglio.ir.ops.sum_pool import SumPool
from intaglio.ir.ops.threshold import Threshold

OPS: tuple[type[Op], ...] = (
    Input, MatMul, Conv2d, Add, Requantize, Threshold, Lookup, Align, MaxPool, SumPool, Pad, Concat, Reshape, ArgMax,
)  # fmt: skip
"""All of them. Files name an operation by its place here: append, never reorder."""

__all__ = [
    "OPS", "Add", "Align", "ArgMax", "Concat", "Conv2d", "Input", "Lookup", "MatMul", "MaxPool", "Pad",
    "Requantize", "Reshape", "SumPool", "Threshold",
]  # fmt: skip
