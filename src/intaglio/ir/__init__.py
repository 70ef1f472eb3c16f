"""Integers only: the Graph, its operations, encodings and passes. NumPy, never torch."""

from intaglio.ir.graph import Builder, Graph
from intaglio.ir.node import Node
from intaglio.ir.op import Op, Work
from intaglio.ir.passes import optimise
from intaglio.ir.types import MAX_BITS, Array, Type

__all__ = ["MAX_BITS", "Array", "Builder", "Graph", "Node", "Op", "Type", "Work", "optimise"]
