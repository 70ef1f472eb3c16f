"""torch: the network SFC on the CPU. Arguments: float32 or int8, batch, threads.

float32: batch norm folded into the weights. int8: torch.ao.quantization, static, calibrated on random images.
"""

import sys
import warnings

import torch
from torch import nn
from torch.ao import quantization
from torch.nn.utils.fusion import fuse_linear_bn_eval
from turns import take_turns, versions

from intaglio.models import MODELS


def float32() -> nn.Module:
    """Without batch norm."""
    model = MODELS["sfc"]().eval()
    for i in (1, 2, 3):
        linear, norm = model.get_submodule(f"fc{i}"), model.get_submodule(f"norm{i}")
        model.set_submodule(f"fc{i}", fuse_linear_bn_eval(linear, norm))
        model.set_submodule(f"norm{i}", nn.Identity())
    return model


def int8(model: nn.Module) -> nn.Module:
    """Integers in and between all layers; the images arrive as floats and are quantised first."""
    torch.backends.quantized.engine = engine()
    fused = quantization.fuse_modules(model, [[f"fc{i}", f"relu{i}"] for i in (1, 2, 3)])
    wrapped = quantization.QuantWrapper(fused)
    wrapped.qconfig = quantization.get_default_qconfig(engine())
    prepared = quantization.prepare(wrapped)
    prepared(torch.rand(256, 1, 28, 28))
    return quantization.convert(prepared)


def engine() -> str:
    """torch's engine for x86, which picks among FBGEMM and oneDNN."""
    known = torch.backends.quantized.supported_engines
    return next(name for name in ("x86", "onednn", "fbgemm", "qnnpack") if name in known)


def main(kind: str, batch: int, threads: int) -> None:
    """Take turns in evaluating the batch."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = float32() if kind == "float32" else int8(float32())
    inputs = torch.rand(batch, 1, 28, 28)

    def call() -> torch.Tensor:
        with torch.inference_mode():
            return model(inputs)

    setup = {"engine": engine()} if kind == "int8" else {}
    take_turns(call, batch=batch, threads=torch.get_num_threads(), versions=versions("torch"), **setup)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
