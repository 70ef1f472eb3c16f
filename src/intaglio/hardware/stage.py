"""Pulse pipelines: what happens between an issuer and its outlet, with a fixed latency and no stall.

Each stage and each issuer names its SystemVerilog module, mirrors that module's latency and supplies its parameters.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, ClassVar

from intaglio.hardware.actors import Actor, Link
from intaglio.hardware.memory import Memory
from intaglio.hardware.streams import Wire

Parameter = int | str | Memory
Parameters = dict[str, Parameter]


def parameters_of(record: Any) -> Parameters:
    """Parameters of a module by the fields of a record: their names in capitals.

    A Wire `source` is LANES, IN_BITS and IN_SIGNED, a Wire `out` OUT_BITS and OUT_SIGNED; a Memory is FILE, its depth
    WORDS.
    """
    found: Parameters = {}
    for f in fields(record):
        value = getattr(record, f.name)
        if isinstance(value, Wire):
            end = {"source": "IN", "out": "OUT"}[f.name]
            found |= {"LANES": value.lanes} if end == "IN" else {}
            found |= {f"{end}_BITS": value.bits, f"{end}_SIGNED": int(value.signed)}
        elif isinstance(value, Memory):
            found |= {"WORDS": value.depth, "FILE": value}
        else:
            found[f.name.upper()] = int(value) if isinstance(value, bool) else value
    return found


class Pulsing(ABC):
    """What gives pulses: a module, its latency, and what a pulse carries."""

    @property
    @abstractmethod
    def module(self) -> str:
        """The SystemVerilog module."""

    @property
    @abstractmethod
    def latency(self) -> int:
        """Cycles to the pulse: from issue, or from the last beat of an operation."""

    @property
    @abstractmethod
    def out(self) -> Wire:
        """What a pulse carries."""


class Stage(Pulsing):
    """A module without back-pressure: pulses in, pulses out `latency` cycles later.

    passes_end: it takes and gives every beat of an operation, and says which is the last; reduces: it takes them all
    and gives one result. Others see the results alone.
    """

    passes_end: ClassVar[bool] = False
    reduces: ClassVar[bool] = False

    @property
    def beside(self) -> int:
        """Bits of a pulse above its lanes."""
        return 0

    def parameters(self) -> Parameters:
        """Of the module."""
        return parameters_of(self)


class Issuer(Pulsing):
    """Turns streams into the pulses of operations, each begun with a credit of the outlet.

    keeps_order: values of a vector leave in the order in which they came; passes_end: it says which beat of an
    operation is the last.
    """

    keeps_order: ClassVar[bool] = False
    passes_end: ClassVar[bool] = True

    @property
    def shortest(self) -> int:
        """Cycles of the shortest operation."""
        return 1

    @property
    def busy(self) -> int:
        """Cycles of all operations of a frame, where they may take several each; 0 elsewhere."""
        return 0

    @property
    def frames(self) -> int:
        """Frames that its own buffers hold, rounded up."""
        return 0

    @abstractmethod
    def actors(self, inputs: Sequence[Link], out: Link, depth: int, latency: int) -> tuple[Actor, ...]:
        """Its equations of time: `depth` words in the outlet, `latency` cycles from issue to it."""

    @abstractmethod
    def parameters(self) -> Parameters:
        """Of the module."""
