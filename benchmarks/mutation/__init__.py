"""Planted faults: where they can be (`python`, `verilog`), which tests meet them (`selection`), a try (`trial`)."""
