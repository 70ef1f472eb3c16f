"""Streams between units: which value of a wire travels when, and what is in between where lanes or readers differ."""

from dataclasses import dataclass, field, replace
from math import gcd

import numpy as np

from intaglio.hardware.actors import UNSIZED
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.memory import IntArray
from intaglio.hardware.streams import Stream, Wire
from intaglio.hardware.unit import AnyUnit, Fork, Width
from intaglio.ir.errors import DesignError
from intaglio.ir.ops import Align


@dataclass(frozen=True)
class Route:
    """Where a node's values travel: a stream, and the flat IR index of each value in stream order.

    `code` says how values are written when they are not plain integers; `align` is what the product that reads
    them still has to do to them.
    """

    stream: int
    order: IntArray = field(repr=False, compare=False)
    code: FloatCode | None = None
    align: Align | None = None


@dataclass
class Wiring:
    """Units and streams, which grow in topological order, and the routes that nobody has taken yet, by node."""

    units: list[AnyUnit] = field(default_factory=list[AnyUnit])
    streams: list[Stream] = field(default_factory=list[Stream])
    routes: dict[int, list[Route]] = field(default_factory=dict[int, list[Route]])

    def wire(self, route: Route) -> Wire:
        """What a beat of a route carries."""
        return self.streams[route.stream].wire

    def stream(self, wire: Wire, pixels: int, channels: int) -> int:
        """A new stream."""
        self.streams.append(Stream(wire, pixels, channels))
        return len(self.streams) - 1

    def offer(self, node: int, name: str, route: Route, uses: int) -> None:
        """Make a route available to every use of a node, through a fork if there are several."""
        if uses == 0:
            raise DesignError(f"{name}: nothing reads its result; remove it from the graph")
        if uses == 1:
            self.routes[node] = [route]
            return
        copies = [self._like(route.stream) for _ in range(uses)]
        self.units.append(Fork(f"{name}.fork", route.stream, tuple(copies), (UNSIZED,) * uses))
        self.routes[node] = [replace(route, stream=copy) for copy in reversed(copies)]

    def buffer(self, name: str, route: Route) -> Route:
        """The route behind a FIFO of its own (a fork of one branch)."""
        copy = self._like(route.stream)
        self.units.append(Fork(f"{name}.buffer", route.stream, (copy,), (UNSIZED,)))
        return replace(route, stream=copy)

    def _like(self, stream: int) -> int:
        self.streams.append(self.streams[stream])
        return len(self.streams) - 1

    def peek(self, node: int) -> Route:
        """The route that `take` gives next."""
        return self.routes[node][-1]

    def take(self, node: int, lanes: int | None, user: str) -> Route:
        """A use of a node, converted to `lanes` lanes (None: as it comes)."""
        route = self.routes[node].pop()
        have = self.wire(route).lanes
        if lanes is not None:
            for step in (gcd(have, lanes), lanes):
                route = self._convert(route, step, user)
        return route

    def _convert(self, route: Route, lanes: int, user: str) -> Route:
        old = self.streams[route.stream]
        if old.wire.lanes == lanes:
            return route
        new = self.stream(replace(old.wire, lanes=lanes), old.pixels, old.channels)
        self.units.append(Width(f"{user}.width{new}", route.stream, new))
        return replace(route, stream=new)


def layout(shape: tuple[int, ...]) -> tuple[int, int, IntArray]:
    """(pixels, channels, order) of a tensor streamed pixel by pixel, channels innermost."""
    if len(shape) == 1:
        return 1, shape[0], np.arange(shape[0])
    order = np.arange(int(np.prod(shape))).reshape(shape)
    return shape[1] * shape[2], shape[0], order.transpose(1, 2, 0).reshape(-1)
