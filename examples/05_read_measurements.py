"""Read what a run found out: every number with its unit, its source and the tool it came from.

    intaglio run examples/digits_8bit.yaml
    python examples/05_read_measurements.py runs/digits_8bit
"""

import sys
from pathlib import Path

from intaglio.measure import RunFolder, find

folder = RunFolder(Path(sys.argv[1] if len(sys.argv) > 1 else "runs/digits_8bit"))
measurements = folder.read_measurements()

print(f"{'name':28}{'value':>14} {'unit':9}{'source':13}by")
for m in measurements:
    if m.name != "duration.s":
        print(f"{m.name:28}{m.value:14,.6g} {m.unit:9}{m.source:13}{m.by}")

# Names are never changed, so scripts can rely on them.
wrong = [m for m in measurements if m.name.startswith("mismatches.") and m.value]
modelled = find(measurements, "cycles.interval", "modelled")
simulated = find(measurements, "cycles.interval", "simulated")
rate = find(measurements, "throughput.cl_per_s")
assert modelled and simulated and rate
print(f"\nis the hardware the network?    {'no: ' + wrong[0].name if wrong else 'yes, in everything compared'}")
print(f"cycles, modelled - simulated:   {modelled.value - simulated.value:.0f}")
print(f"classifications per second:     {rate.value:,.0f} ({rate.source}: {rate.by})")
