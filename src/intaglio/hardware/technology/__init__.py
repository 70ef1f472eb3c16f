"""Technologies: one file each, listed in TECHNOLOGIES."""

from intaglio.errors import ToolError
from intaglio.hardware.technology.ecp5 import ECP5
from intaglio.hardware.technology.generic import GENERIC
from intaglio.hardware.technology.gowin import GOWIN
from intaglio.hardware.technology.ice40 import ICE40
from intaglio.hardware.technology.technology import Cells, Device, MemoryRule, Models, Placer, Technology
from intaglio.hardware.technology.xilinx7 import XILINX7

TECHNOLOGIES: tuple[Technology, ...] = (ECP5, ICE40, GOWIN, XILINX7, GENERIC)

__all__ = ["ECP5", "TECHNOLOGIES", "Cells", "Device", "MemoryRule", "Models", "Placer", "Technology", "named"]


def named(name: str) -> Technology:
    """The technology of that name; ToolError names the known ones."""
    for technology in TECHNOLOGIES:
        if technology.name == name:
            return technology
    raise ToolError(f"unknown synthesis target {name!r}: use one of {', '.join(t.name for t in TECHNOLOGIES)}")
