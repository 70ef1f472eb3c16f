"""Small designs for the tests of the tools: a stream stage, memories and multipliers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from intaglio.hardware.rtl import Rtl, StreamSpec, memory_name

DESIGNS = Path(__file__).parents[1] / "hardware" / "designs"
ROM = (1, 2, -1, 4, -123)

_PORTS = """  input  logic clk_i,
  input  logic rst_ni,
  input  logic valid_i,
  output logic ready_o,
  input  logic [{inputs}-1:0] data_i,
  input  logic last_i,
  output logic valid_o,
  input  logic ready_i,
  output logic [{outputs}-1:0] data_o,
  output logic last_o"""


def memory(directory: Path, role: str, values: Sequence[int], bits: int) -> Path:
    """A memory file with a content-addressed name, as emit() writes them."""
    text = "".join(f"{int(v) & ((1 << bits) - 1):x}\n" for v in values)
    path = directory / memory_name(role, text)
    path.write_text(text)
    return path


def module(inputs: int, outputs: int, body: str) -> str:
    return f"module top (\n{_PORTS.format(inputs=inputs, outputs=outputs)}\n);\n{body}endmodule\n"


def stage(directory: Path, fault: int = 0, lanes: int = 4, bits: int = 8) -> Rtl:
    """Each lane x becomes 2 * x + ROM[beat]; see designs/stage.sv for the faults."""
    directory.mkdir(parents=True, exist_ok=True)
    content = memory(directory, "bias", ROM, bits)
    body = f"""  stage #(.LANES({lanes}), .BITS({bits}), .FAULT({fault}), .FILE("{content.name}")) u_stage (
    .clk_i(clk_i), .rst_ni(rst_ni), .valid_i(valid_i), .ready_o(ready_o), .data_i(data_i), .last_i(last_i),
    .valid_o(valid_o), .ready_i(ready_i), .data_o(data_o), .last_o(last_o));
"""
    top = directory / "top.sv"
    top.write_text(module(lanes * bits, lanes * (bits + 2), body))
    streams = StreamSpec(lanes, bits, True, len(ROM)), StreamSpec(lanes, bits + 2, True, len(ROM))
    return Rtl(directory, "top", (DESIGNS / "stage.sv", top), *((s,) for s in streams), (content,))


def staged(x: np.ndarray) -> np.ndarray:
    """What `stage` computes."""
    return 2 * x + np.array(ROM)[None, :, None]


@dataclass(frozen=True)
class Port:
    """An instance for `clocked`: its text, with `{input}` and `{output}` for its slices, and their widths."""

    text: str
    inputs: int
    outputs: int


def clocked(directory: Path, sources: tuple[str, ...], ports: Sequence[Port], beats: int, latency: int,
            memories: tuple[Path, ...] = ()) -> Rtl:  # fmt: skip
    """A design that is always ready and feeds slices of its input to instances; their outputs come
    `latency` later.
    """
    inputs, outputs, body = 0, 0, ""
    for port in ports:
        body += port.text.format(
            input=f"data_i[{inputs} +: {port.inputs}]", output=f"data_o[{outputs} +: {port.outputs}]",
            low=inputs,
        )  # fmt: skip
        inputs, outputs = inputs + port.inputs, outputs + port.outputs
    body = f"""  logic [{latency}:0] valid, last;
  assign valid[0] = valid_i;
  assign last[0] = last_i;
  assign ready_o = 1'b1;
  assign valid_o = valid[{latency}];
  assign last_o = last[{latency}];
  always_ff @(posedge clk_i) begin
    valid[{latency}:1] <= rst_ni ? valid[{latency - 1}:0] : '0;
    last[{latency}:1] <= last[{latency - 1}:0];
  end
{body}"""
    top = directory / "top.sv"
    top.write_text(module(inputs, outputs, body))
    spec_in, spec_out = StreamSpec(inputs, 1, False, beats), StreamSpec(outputs, 1, False, beats)
    return Rtl(directory, "top", (*(DESIGNS / s for s in sources), top), (spec_in,), (spec_out,), memories)
