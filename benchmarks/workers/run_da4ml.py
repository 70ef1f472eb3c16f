"""da4ml: its C++ interpreter on the integer MLP, traced to shifts and additions. Argument: network.npz."""

import sys
import time

import numpy as np
from da4ml.trace import FixedVariableArrayInput, HWConfig, comb_trace
from turns import take_turns, versions


def main(path: str, threads: int) -> None:
    """Take turns in predicting the batch."""
    data = dict(np.load(path))
    start = time.perf_counter()
    source = FixedVariableArrayInput(data["inputs"].shape[1:], HWConfig(1, -1, -1))
    wire = source.quantize(1, 7, 0)
    for i, shift in enumerate(data["shifts"]):
        wire = wire @ data[f"w{i}"].T + data[f"b{i}"]
        if i < len(data["shifts"]) - 1:
            wire = (wire * 2.0 ** -int(shift)).relu().quantize(0, 7, 0, "SAT", "RND")
    logic = comb_trace(source, wire)
    seconds = time.perf_counter() - start
    inputs = data["inputs"].astype(np.float64)
    wrong = int((logic.predict(inputs, n_threads=threads) != data["outputs"]).sum())
    take_turns(
        lambda: logic.predict(inputs, n_threads=threads),
        wrong=wrong,
        batch=len(inputs),
        operations=len(logic.ops),
        trace_seconds=seconds,
        versions=versions("da4ml", "numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
