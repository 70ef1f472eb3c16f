"""Execution of a Graph: the plan made once, then chunks that stay in cache, over threads.

Every node runs in the fastest dtype that is exact for it: float32 when no intermediate value reaches 2**24,
float64 below 2**53 (or int32 below 2**31, for operations that shift), else int64. Sums of products that float32
does not hold are float32 sums over ranges of channels, added up in float64. Between nodes arrays are (batch, ...)
views with the batch innermost in memory, in the narrowest floating point that holds the wire.
"""

import os
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController  # pyright: ignore

from intaglio.ir.errors import DataError, ShapeError
from intaglio.ir.node import Node
from intaglio.ir.op import Op
from intaglio.ir.ops import Input
from intaglio.ir.types import Array, Type

_CHUNK = 1 << 20
"""Elements that one chunk of samples needs at a time: wires still read, and what an operation needs itself."""
_ALIGN = 16
"""Samples of a chunk are a multiple of this where they reach it: full vector registers."""
_THREADED = 1 << 21
"""Elements of all wires of a batch from which threads pay."""


def exact_dtype(magnitude: int) -> "np.dtype[Any]":
    """The narrowest dtype in which integers up to this magnitude are exact: float32, float64 or int64."""
    if magnitude < 2**24:
        return np.dtype(np.float32)
    return np.dtype(np.float64) if magnitude < 2**53 else np.dtype(np.int64)


def fastest_dtype(op: Op, magnitude: int) -> "np.dtype[Any]":
    """The dtype to execute an operation in, exact up to this magnitude."""
    exact = exact_dtype(magnitude)
    return np.dtype(np.int32) if exact == np.float64 and op.in_integers and magnitude < 2**31 else exact


@dataclass(frozen=True)
class ProgramStep:
    """One node to run: its inputs, the dtype it runs in and that of its wire, and the wires no longer needed."""

    node: int
    op: Op
    inputs: tuple[int, ...]
    dtype: "np.dtype[Any]"
    wire: "np.dtype[Any]"
    done: tuple[int, ...]
    parts: list[tuple[slice, Op]]

    @staticmethod
    def of(position: int, node: Node, types: Sequence[Type], done: tuple[int, ...]) -> "ProgramStep":
        """The step of a node that reads wires of these Types."""
        dtype, wire = fastest_dtype(node.op, node.op.magnitude(*types)), exact_dtype(node.type.largest)
        parts = node.op.parts(*types) if dtype == np.float64 else []
        return ProgramStep(position, node.op, node.inputs, dtype, wire, done, parts)

    def run(self, wires: list[Any]) -> None:
        """Execute."""
        arrays = [wires[i] for i in self.inputs]
        result = self._summed(*arrays) if self.parts else self._executed(arrays)
        wires[self.node] = result if result.dtype == self.wire else result.astype(self.wire)

    def _executed(self, arrays: list[Any]) -> Array:
        return self.op.execute(*[a if a.dtype == self.dtype else a.astype(self.dtype) for a in arrays])

    def _summed(self, x: Array) -> Array:
        """Exact sums over ranges of channels, added up."""
        narrow = x.astype(np.float32, copy=False)
        (first, op), *rest = self.parts
        total = op.execute(narrow[:, first]).astype(self.dtype)
        for channels, op in rest:
            total += op.execute(narrow[:, channels])
        return total


class Program:
    """How to run a Graph: steps, dtypes and the size of a chunk."""

    def __init__(self, nodes: Sequence[Node], outputs: Sequence[int]) -> None:
        types = [[nodes[i].type for i in node.inputs] for node in nodes]
        self.count = len(nodes)
        self.outputs = tuple(outputs)
        self.inputs = tuple(i for i, node in enumerate(nodes) if isinstance(node.op, Input))
        self.entries = [(nodes[i].name, nodes[i].type, exact_dtype(nodes[i].type.largest)) for i in self.inputs]
        self.shapes = [nodes[i].type.shape for i in self.outputs]
        last = {wire: i for i, node in enumerate(nodes) for wire in node.inputs}
        kept = set(self.outputs)
        done = [tuple(w for w in set(node.inputs) if last[w] == i and w not in kept) for i, node in enumerate(nodes)]
        self.steps = [
            ProgramStep.of(i, node, types[i], done[i]) for i, node in enumerate(nodes) if not isinstance(node.op, Input)
        ]
        scratch = [node.op.scratch(*of) for node, of in zip(nodes, types, strict=True)]
        self.elements = sum(node.type.size for node in nodes) + sum(scratch)
        self.peak = _peak(nodes, done, scratch)

    def run(self, arrays: Sequence[npt.ArrayLike]) -> list[Array]:
        """Outputs (int64, batch first) of a batch of inputs."""
        values, batch = self._checked(arrays)
        results = [np.empty((batch, *shape), dtype=np.int64) for shape in self.shapes]
        chunk = _CHUNK // self.peak
        chunk = max(1, chunk - chunk % _ALIGN if chunk > _ALIGN else chunk)
        pieces = [slice(start, start + chunk) for start in range(0, batch, chunk)]

        def run(piece: slice) -> None:
            wires = self.wires([value[piece] for value in values])
            for result, wire in zip(results, self.outputs, strict=True):
                result[piece] = wires[wire]

        with one_blas_thread():
            if len(pieces) > 1 and batch * self.elements >= _THREADED:
                with ThreadPoolExecutor(_processors()) as pool:
                    list(pool.map(run, pieces))
            else:
                for piece in pieces:
                    run(piece)
        return results

    def every(self, arrays: Sequence[npt.ArrayLike]) -> list[Array]:
        """All wires (int64, batch first) of a batch of inputs."""
        values, _ = self._checked(arrays)
        return [wire.astype(np.int64, order="C") for wire in self.wires(values, keep=True)]

    def wires(self, values: Sequence[Array], keep: bool = False) -> list[Any]:
        """All wires of one chunk, None where no longer needed unless `keep`."""
        wires: list[Any] = [None] * self.count
        for wire, value, (_, _, dtype) in zip(self.inputs, values, self.entries, strict=True):
            wires[wire] = _batch_last(value, dtype)
        for step in self.steps:
            step.run(wires)
            if not keep:
                for done in step.done:
                    wires[done] = None
        return wires

    def _checked(self, arrays: Sequence[npt.ArrayLike]) -> tuple[list[Array], int]:
        if len(arrays) != len(self.inputs):
            names = ", ".join(name for name, _, _ in self.entries)
            raise ShapeError(f"{len(arrays)} arrays for {len(self.inputs)} inputs ({names})")
        values = [check(name, a, of) for (name, of, _), a in zip(self.entries, arrays, strict=True)]
        batches = {len(value) for value in values}
        if len(batches) != 1:
            raise ShapeError(f"inputs have different batch sizes {sorted(batches)}")
        return values, batches.pop()


def _peak(nodes: Sequence[Node], done: Sequence[tuple[int, ...]], scratch: Sequence[int]) -> int:
    """The most elements per sample that are needed at a time."""
    live = sum(node.type.size for node in nodes if isinstance(node.op, Input))
    most = live
    for node, free, own in zip(nodes, done, scratch, strict=True):
        live += 0 if isinstance(node.op, Input) else node.type.size
        most = max(most, live + own)
        live -= sum(nodes[wire].type.size for wire in free)
    return most


def _batch_last(value: Array, dtype: "np.dtype[Any]") -> Array:
    """A (batch, ...) copy whose batch axis is innermost in memory (vectors stay: BLAS takes either order)."""
    if value.ndim == 2:
        return value.astype(dtype)
    store = np.empty((*value.shape[1:], len(value)), dtype=dtype)
    view = np.moveaxis(store, -1, 0)
    view[...] = value
    return view


def check(name: str, array: npt.ArrayLike, of: Type) -> Array:
    """The array, when it holds integers of the declared shape (batch, ...) and range, else an error."""
    value = np.asarray(array)
    if value.shape[1:] != of.shape or value.ndim != len(of.shape) + 1:
        raise ShapeError(f"input {name} has shape {value.shape}: expected (batch, {str(of.shape)[1:]}")
    if value.dtype.kind not in "biuf":
        raise DataError(f"input {name} has dtype {value.dtype}: give integers")
    if value.size:
        _check_values(name, value, of)
    return value


def _check_values(name: str, value: Array, of: Type) -> None:
    low, high = of.range
    if value.dtype.kind == "f":
        whole = (np.floor(value) == value) & np.isfinite(value)
        if not whole.all():
            raise DataError(f"input {name} holds {value[~whole].flat[0]}, not an integer: quantise it with its Type")
    least, most = value.min(), value.max()
    if least < low or most > high:
        bad = least if least < low else most
        raise DataError(f"input {name} holds {bad}, outside {low}..{high}: quantise it with its Type")


class _Library(Protocol):
    """A BLAS library as threadpoolctl shows it."""

    num_threads: int

    def set_num_threads(self, num_threads: int) -> None: ...


@cache
def _blas() -> list[_Library]:
    blas: Any = ThreadpoolController().select(user_api="blas")  # pyright: ignore
    return blas.lib_controllers  # pyright: ignore


@contextmanager
def one_blas_thread() -> Generator[None]:
    """Keep BLAS to one thread: chunks are spread over threads, and waiting BLAS threads burn a core."""
    before = [library.num_threads for library in _blas()]
    for library in _blas():
        library.set_num_threads(1)
    try:
        yield
    finally:
        for library, count in zip(_blas(), before, strict=True):
            library.set_num_threads(count)


def _processors() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
