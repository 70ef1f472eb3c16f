"""No family in particular: look-up tables of four inputs and flip-flops, nothing else.

Counts that every four-input family can be held against, and a netlist in plain Verilog, which is simulated without
models of any cell. Source: Yosys 0.70's synth; memories become registers and logic.
"""

from intaglio.hardware.technology.technology import Cells, Models, Synthesiser, Technology

GENERIC = Technology(
    name="generic",
    title="a generic technology",
    synthesiser=Synthesiser("synth -lut 4", flat="-flatten", apart=""),
    cells=Cells(lut=("$lut",), ff=("$_*DFF*_",)),
    models=Models(),
)
