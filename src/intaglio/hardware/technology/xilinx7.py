"""Xilinx 7 series: synthesis to counts.

Source: cells and flags of Yosys 0.70's synth_xilinx. A look-up table of six inputs holds 64 words of a bit, and of a
memory that is written as many (UG474), four times as many as on ECP5: so a table is four times as large before it is
worth a block RAM, which holds 18 kbit (UG473). Shift registers made of look-up tables count as memory, as in Vivado.
"""

from intaglio.hardware.technology.technology import Cells, MemoryRule, Synthesiser, Technology

XILINX7 = Technology(
    name="xilinx",
    title="Xilinx 7",
    synthesiser=Synthesiser(
        "synth_xilinx -family xc7 -noiopad -noclkbuf", no_dsp="-nodsp", no_bram="-nobram", flat="-flatten", apart=""
    ),
    cells=Cells(
        lut=("LUT*",), ff=("FD*",), dsp=("DSP48*",), bram=("RAMB*",),
        dpr=("RAM16*", "RAM32*", "RAM64*", "RAM128*", "RAM256*", "SRL*"), carry=("CARRY*",),
    ),
    memory=MemoryRule(depth=128, bits=4096, spare_depth=64, ring=64),
)  # fmt: skip
