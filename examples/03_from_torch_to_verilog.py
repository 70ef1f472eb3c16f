"""From your own network and your own training loop to simulated SystemVerilog.

    python examples/03_from_torch_to_verilog.py [epochs] [folder]
"""

import sys
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from intaglio import FixedPoint, Recipe, build, carve, compare, emit, equal, lower
from intaglio.trial import check

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 300
folder = Path(sys.argv[2] if len(sys.argv) > 2 else "build/spirals")

# Two spirals, to be told apart by a point's coordinates.
torch.manual_seed(0)
turn = torch.rand(2000) * 3 * torch.pi
labels = torch.arange(2000) % 2
angle = turn + torch.pi * labels
points = torch.stack([turn * angle.cos(), turn * angle.sin()], dim=1) / 12 + 0.02 * torch.randn(2000, 2)
train, test = slice(0, 1500), slice(1500, 2000)

network = nn.Sequential(
    nn.Linear(2, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 2)
)
check(network, points[:1])  # before any training: can all of it become hardware?


def train_it(model: nn.Module, steps: int, rate: float) -> None:
    """Any loop will do: number formats are part of the forward pass."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model.train()(points[train]), labels[train]).backward()
        optimizer.step()
    model.eval()


train_it(network, epochs, 5e-3)
small = Recipe(FixedPoint(weight_bits=6, activation_bits=6)).apply(network, points[train])
train_it(small, epochs, 2e-3)
for name, model in (("float", network), ("6 bits", small)):
    print(f"{name:7}{100 * (model(points[test]).argmax(1) == labels[test]).double().mean():6.1f} %")

graph = lower(small, points[:1])
assert equal(small, graph, points) == 0
design = carve(graph)  # one multiplier for each layer; the next example is about more
rtl = emit(design, folder)
print(f"{rtl.directory / (rtl.top + '.sv')}: {design.latency} cycles latency, one result every {design.interval}")

result = compare(design, build(rtl), graph.input_types[0].quantize(points[test].double().numpy()), stall_out=0.3)
print(f"simulated with a sink that stalls: {result.mismatches} of {result.values} outputs differ")
assert result.equal
