"""One network, several sizes of hardware: choose the parallelism for a speed or for an area.

    python examples/04_fold_for_a_budget.py [folder]

The cycles are known exactly before anything is simulated; the last design is simulated to show it.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from intaglio import FixedPoint, IntaglioError, Recipe, build, carve, compare, emit, lower
from intaglio.hardware.folding import carve_for_interval, fold_for_area, fold_for_interval
from intaglio.models import DigitsNet

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/folded")

# The weights do not matter for cycles and area, so this network is not even trained.
torch.manual_seed(0)
images = torch.rand(64, 1, 8, 8)
graph = lower(Recipe(FixedPoint(weight_bits=4, activation_bits=4)).apply(DigitsNet(), images), images[:1])

print("for a speed:   cycles per image   latency   estimated LUT4-eq   SIMD x PE of each layer")
for interval in (20_000, 5_000, 1_000):
    design = carve_for_interval(graph, interval)
    lanes = "  ".join(f"{name} {fold.simd}x{fold.pe}" for name, fold in design.folding.items())
    area = fold_for_interval(graph, interval).area
    print(f"  {interval:>8,}     {design.interval:>16,}   {design.latency:>7,}   {area:>17,.0f}   {lanes}")

print("for an area:   estimated LUT4-eq   cycles per image")
for area in (20_000, 5_000, 500):
    try:
        choice = fold_for_area(graph, area)
        print(f"  {area:>8,}     {choice.area:>17,.0f}   {carve(graph, choice.folding).interval:>16,}")
    except IntaglioError as error:
        print(f"  {area:>8,}     {error}")

design = carve_for_interval(graph, 1_000)
result = compare(design, build(emit(design, folder)), graph.input_types[0].quantize(np.resize(images, (24, 1, 8, 8))))
simulated = int(np.diff(result.trace.last_out)[-1])
print(f"simulated: {simulated} cycles per image, modelled: {design.interval}; {result.mismatches} outputs differ")
assert result.equal and simulated == design.interval
