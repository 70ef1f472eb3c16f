"""A network as a QONNX file for other tools, and a QONNX file of other tools as hardware.

python examples/06_exchange_qonnx.py [epochs] [folder]
"""

import sys
from pathlib import Path

import torch

from intaglio import FixedPoint, Recipe, carve, fit, lower
from intaglio.datasets import digits
from intaglio.exchange import read_qonnx, write_qonnx
from intaglio.ir import Type
from intaglio.models import DigitsNet

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 20
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "build/qonnx")

data = digits()
torch.manual_seed(0)
network = DigitsNet()
fit(network, data, epochs=epochs, lr=2e-3, batch=64)
graph = lower(Recipe(FixedPoint(weight_bits=4, activation_bits=4)).apply(network, data.train.x[:512]), data.test.x[:1])

# Out: the integers travel as float32, which FINN, hls4ml and qonnx read. What float32 would round is refused.
folder.mkdir(parents=True, exist_ok=True)
path = folder / "digits.onnx"
write_qonnx(graph, path)
print(f"{path}: {path.stat().st_size} bytes, {len(graph.nodes)} operations")

# In: the file's arithmetic is float32; the type says which integers arrive, and so proves every range behind.
images = graph.input_types[0].quantize(data.test.x.numpy())
found = read_qonnx(path, Type(graph.input_types[0].shape, graph.input_types[0].range))
differ = int((found(images)[0] != graph(images)[0]).sum())
print(f"read again, exact: {found.exact}; outputs that differ: {differ} of {graph(images)[0].size}")
assert found.exact and differ == 0

design = carve(found.graph)
print(f"as hardware: {design.latency} cycles latency, one result every {design.interval}")
