"""hls4ml: compiled emulation of the integer MLP, every type set to be exact. Arguments: network.npz, directory."""

import sys
import time
from typing import Any

import hls4ml
import numpy as np
import torch
from torch import nn
from turns import take_turns, versions


def network(data: Any) -> nn.Sequential:
    """The MLP as the torch module that hls4ml converts, its integer weights as floats."""
    layers: list[tuple[str, nn.Module]] = []
    count = len(data["shifts"])
    for i in range(count):
        outputs, inputs = data[f"w{i}"].shape
        dense = nn.Linear(inputs, outputs)
        scale = 2.0 ** int(data["shifts"][:i].sum())
        with torch.no_grad():
            dense.weight.copy_(torch.from_numpy(data[f"w{i}"]))
            dense.bias.copy_(torch.from_numpy(data[f"b{i}"] * scale))
        layers.append((f"dense{i}", dense))
        if i < count - 1:
            layers.append((f"relu{i}", nn.ReLU()))
    return nn.Sequential(*(layer for _, layer in layers)).eval()


def precise(config: Any, data: Any) -> None:
    """Types of exactly the integers: 8-bit weights, wide sums, 7-bit activations on their layer's grid."""
    names = [name for name in config["LayerName"] if name != next(iter(config["LayerName"]))]
    total, dense = 0, 0
    for name in names:
        precision = config["LayerName"][name]["Precision"]
        if "weight" in precision:
            wide = f"ap_fixed<{24 + total},{24 + total}>"
            precision.update(weight="ap_fixed<8,8>", bias=wide, accum=wide, result=wide)
        else:
            total += int(data["shifts"][dense])
            dense += 1
            precision.update(result=f"ap_ufixed<7,{7 + total},AP_RND,AP_SAT>")
    first = next(iter(config["LayerName"]))
    config["LayerName"][first]["Precision"]["result"] = "ap_fixed<8,8>"


def main(path: str, folder: str) -> None:
    """Take turns in predicting the batch."""
    data = dict(np.load(path))
    model = network(data)
    config = hls4ml.utils.config_from_pytorch_model(
        model, (data["inputs"].shape[1],), granularity="name", backend="Vitis"
    )
    precise(config, data)
    start = time.perf_counter()
    made = hls4ml.converters.convert_from_pytorch_model(
        model, output_dir=folder, backend="Vitis", hls_config=config, io_type="io_parallel"
    )
    made.compile()
    seconds = time.perf_counter() - start
    inputs = np.ascontiguousarray(data["inputs"].astype(np.float32))
    outputs = made.predict(inputs).reshape(data["outputs"].shape) / 2.0 ** int(data["shifts"][:-1].sum())
    take_turns(
        lambda: made.predict(inputs),
        wrong=int((outputs != data["outputs"]).sum()),
        batch=len(inputs),
        compile_seconds=seconds,
        versions=versions("hls4ml", "torch", "numpy"),
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
