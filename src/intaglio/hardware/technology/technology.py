"""What is known of one technology, a family of devices: how to synthesise for it, what its cells are, what it holds."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from intaglio.hardware.technology.prices import Prices

Used = Mapping[str, tuple[int, int]]
"""Resources of a placement by name: used, available."""


@dataclass(frozen=True)
class Synthesiser:
    """The command of Yosys and its flags; an empty flag says that there is nothing to ask for.

    dsp, no_dsp: with and without multiplier blocks; no_bram: without memory blocks. flat, apart: the hierarchy
    dissolved and kept. library: Yosys' file of the cells that the family's own modules instantiate.
    """

    command: str
    dsp: str = ""
    no_dsp: str = ""
    no_bram: str = ""
    flat: str = ""
    apart: str = "-noflatten"
    library: str = ""

    def flags(self, dsp: bool, bram: bool, hierarchy: bool, extra: str = "") -> str:
        """The whole command, but for the top module."""
        asked = (self.dsp if dsp else self.no_dsp, "" if bram else self.no_bram, self.apart if hierarchy else self.flat)
        return " ".join([self.command, *filter(None, asked), *extra.split()])


@dataclass(frozen=True)
class Cells:
    """Which cells are what, as shell patterns of their names; none of a kind: the family has no such thing.

    dpr: memories made of look-up tables. weights: how many LUT4 a look-up table, a carry cell and a dpr cell stand
    for, where the family's area is told in LUT4.
    """

    lut: tuple[str, ...]
    ff: tuple[str, ...]
    dsp: tuple[str, ...] = ()
    bram: tuple[str, ...] = ()
    dpr: tuple[str, ...] = ()
    carry: tuple[str, ...] = ()
    weights: tuple[int, int, int] | None = None

    @staticmethod
    def number(kind: tuple[str, ...], cells: Mapping[str, int]) -> int:
        """How many of `cells`, counts by name, are of a kind."""
        return sum(n for name, n in cells.items() if any(fnmatchcase(name, pattern) for pattern in kind))

    def known(self, name: str) -> bool:
        """Whether a cell is of any kind."""
        kinds = (self.lut, self.ff, self.dsp, self.bram, self.dpr, self.carry)
        return any(self.number(kind, {name: 1}) for kind in kinds)

    def lut4_eq(self, cells: Mapping[str, int]) -> int | None:
        """Area in LUT4; None where the family's is not told so."""
        if self.weights is None:
            return None
        kinds = (self.lut, self.carry, self.dpr)
        return sum(w * self.number(kind, cells) for w, kind in zip(self.weights, kinds, strict=True))

    def lacking(self) -> tuple[str, ...]:
        """Values of `ram_style` that no memory of the family can have."""
        return tuple(style for style, kind in (("distributed", self.dpr), ("block", self.bram)) if not kind)


@dataclass(frozen=True)
class MemoryRule:
    """When a memory is worth a block RAM: small or shallow ones are cheaper in look-up tables.

    depth, bits: words and bits that a table of constants has at least; spare_depth: its words when look-up tables are
    scarce. ring: words that a ring of image rows has at most in look-up tables.
    """

    depth: int
    bits: int
    spare_depth: int
    ring: int

    def table_in_block(self, depth: int, width: int, spare_luts: bool = False) -> bool:
        """Whether a table of `depth` words of `width` bits is."""
        return depth >= self.spare_depth if spare_luts else depth >= self.depth and depth * width >= self.bits

    def ring_in_block(self, words: int, spare_luts: bool = False) -> bool:
        """Whether a ring of `words` words is."""
        return spare_luts or words > self.ring


@dataclass(frozen=True)
class Device:
    """A device: its resources (as nextpnr reports them) and the user pins of its packages, smallest first."""

    name: str
    comb: int
    ff: int
    bram: int
    dsp: int
    packages: Mapping[str, int] = field(hash=False)


@dataclass(frozen=True)
class Placer:
    """nextpnr for the family, and the packer of its bitstreams: programs of the Python package `wheel`.

    flags: of the device, with the fields device, package, speed and frequency. arguments: those that make
    `configuration`; packing: those of the packer that make `bitstream` of it. comb, ff: what nextpnr calls them.
    crowded: what it says when a design does not fit. whole_configuration, whole_bitstream: whether a result is
    complete, for a program that says so may have met a full disk.
    """

    wheel: str
    place: str
    pack: str
    devices: tuple[Device, ...]
    flags: str
    arguments: str
    configuration: str
    packing: str
    bitstream: str
    comb: str
    ff: str
    crowded: tuple[str, ...]
    whole_configuration: Callable[[bytes, Used], bool]
    whole_bitstream: Callable[[bytes], bool]


@dataclass(frozen=True)
class Models:
    """What a netlist is simulated with, and where a test may plant a fault in one.

    files: our models of the cells, a pattern in rtl/cells; none where the netlist is plain Verilog. tables: cells with
    tables of 16 bits (INIT, INIT0...) that the inputs A, B, C, D (A0...) address; contents: memories that hold
    INITVAL_..; products: multipliers whose product is P0, P1...
    """

    files: str = ""
    tables: tuple[str, ...] = ()
    contents: tuple[str, ...] = ()
    products: tuple[str, ...] = ()


@dataclass(frozen=True)
class Technology:
    """A family of devices. name: as it is asked for; title: as it is written.

    memory: None without block RAM; placer: None where nothing places for it; models: None where its netlists cannot be
    simulated. bindings: the folder in rtl/ of modules written for it (rtl/README.md). prices: None where nobody has
    looked; plans are then ranked by those of ECP5.
    """

    name: str
    title: str
    synthesiser: Synthesiser
    cells: Cells
    memory: MemoryRule | None = None
    placer: Placer | None = None
    models: Models | None = None
    bindings: str = ""
    prices: Prices | None = None
