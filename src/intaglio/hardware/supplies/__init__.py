"""Where the weights of a beat come from. A new supply is one file, one line here, and one module with its bench."""

from intaglio.hardware.supplies.codebook import Codebook
from intaglio.hardware.supplies.rom import Rom
from intaglio.hardware.supplies.supply import Supply

SUPPLIES: tuple[type[Supply], ...] = (Rom, Codebook)

__all__ = ["SUPPLIES", "Supply"]
