"""Gowin GW1N and GW2A: synthesis to counts.

Source: cells and flags of Yosys 0.70's synth_gowin, without pads and wide multiplexers, so that what is counted is
look-up tables. A look-up table holds 16 words of one bit, as on ECP5, whose rule for tables is therefore taken; a block
RAM holds 18 kbit.
"""

from intaglio.hardware.technology.technology import Cells, MemoryRule, Synthesiser, Technology

GOWIN = Technology(
    name="gowin",
    title="Gowin",
    synthesiser=Synthesiser("synth_gowin -noiopads -nowidelut", no_dsp="-nodsp", no_bram="-nobram"),
    cells=Cells(
        lut=("LUT[1-4]",), ff=("DFF*",), dsp=("MULT*",), bram=("SP", "SPX9", "SDP*", "DP*", "pROM*"), dpr=("RAM16*",),
        carry=("ALU",),
    ),
    memory=MemoryRule(depth=32, bits=1024, spare_depth=16, ring=64),
)  # fmt: skip
