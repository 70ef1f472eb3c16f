"""Where the weights of a beat come from. A new supply is one file, one line here, and one module with its bench."""

from intaglio.hardware.supplies.codebook import CodebookSupply
from intaglio.hardware.supplies.rom import RomSupply
from intaglio.hardware.supplies.supply import Supply

SUPPLIES: tuple[type[Supply], ...] = (RomSupply, CodebookSupply)

__all__ = ["SUPPLIES", "Supply"]
