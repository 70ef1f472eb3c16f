"""A node of a Graph."""

from dataclasses import dataclass

from intaglio.ir.op import Op
from intaglio.ir.types import Type


@dataclass(frozen=True)
class Node:
    """A named operation, the positions of the earlier nodes it reads, and the Type of its result."""

    name: str
    op: Op
    inputs: tuple[int, ...]
    type: Type
