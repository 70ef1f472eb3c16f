"""Lattice iCE40: synthesis to counts.

Source: cells and flags of Yosys 0.70's synth_ice40. There is no memory made of look-up tables: what asks for it becomes
block RAM, or registers where it is read at once. A look-up table holds 16 words of one bit, as on ECP5, whose rule for
tables is therefore taken; an SB_RAM40_4K holds 4 kbit.
"""

from intaglio.hardware.technology.technology import Cells, MemoryRule, Synthesiser, Technology

ICE40 = Technology(
    name="ice40",
    title="iCE40",
    synthesiser=Synthesiser("synth_ice40", dsp="-dsp", no_bram="-nobram"),
    cells=Cells(
        lut=("SB_LUT4",), ff=("SB_DFF*",), dsp=("SB_MAC16",), bram=("SB_RAM40_4K*",), carry=("SB_CARRY",),
    ),
    memory=MemoryRule(depth=32, bits=1024, spare_depth=16, ring=16),
)  # fmt: skip
