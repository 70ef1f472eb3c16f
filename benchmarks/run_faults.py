"""A campaign of faults against `intaglio run`: signals, tools that misbehave, full disks, two runs at once.

Every case disturbs a tiny job, looks at what is left (processes, temporary files, half-done files, tracebacks), resumes
it and compares all it found with an undisturbed run. A case that held is not tried again: the campaign can be ended
and goes on. `python -m benchmarks.run_faults [kind or name ...]`.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.faults import runs, stand_in
from benchmarks.faults.runs import Place
from benchmarks.records import Target, save, show, show_targets
from tests.run import tiny

WORK = runs.ROOT / "build" / "bench" / "faults"
CLAIM = "However a run is disturbed, nothing is left running or half done, and resumed it finds what another finds"
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
HOWS = ("hang", "fail", "crash", "lie", "half")
KINDS = {"simulate": "simulators", "synthesize": "synthesis", "gates": "simulators", "place": "placements"}
"""Steps at which tools are at work when the cache is cold, and the kind of entry that they build."""
HANG_SECONDS = "45"
FOLDER_SIZES = (4, 16, 32, 64, 96, 128, 160, 192, 224, 256)  # KiB
CACHE_SIZES = (4, 64, 256, 512, 1024, 1536, 2048, 2560, 3072, 4096)  # KiB beside what the tools' own headers take


@dataclass(frozen=True)
class Case:
    """One disturbance; `act` gets its place, which collects what is wrong."""

    kind: str
    name: str
    act: Callable[[Place], None]


def reference() -> Path:
    """The undisturbed run; its cache lies beside it."""
    place = Place(WORK / "reference", WORK / "cache")
    process = runs.start(place)
    said = process.communicate()[1]
    if process.returncode:
        raise SystemExit(f"the undisturbed run failed: {said}")
    return place.folder


def cold(place: Place, *kinds: str) -> None:
    """The case gets a copy of the cache without these kinds of entries (all that depend on the design, if none)."""
    runs.copy(WORK / "cache", place.cache)
    for kind in kinds or ("simulators", "synthesis", "placements", "harnesses"):
        shutil.rmtree(place.cache / kind, ignore_errors=True)


def signalled(step: str, number: signal.Signals, warm: bool, place: Place) -> None:
    """End a run at a step: with a cold cache while a tool is at work there, else when the step is all but marked."""
    runs.begun(place, WORK / "reference" / "run", step)
    building = None if warm else KINDS.get(step)
    if warm:
        runs.copy(WORK / "cache", place.cache)
    else:
        cold(place, *({building} if building else ()))
    if building:
        home = place.cache / building
        runs.end(place, lambda: any(any(p.iterdir()) for p in home.glob(".building-*")), number)
    else:
        sign = place.home / "sign"
        runs.end(place, sign.exists, number, TINY_WAITS=f"{step}:{sign}")
    runs.resume(place, WORK / "reference" / "run")


def misbehaving(tool: str, how: str, place: Place) -> None:
    """A run whose tool hangs, fails, crashes or lies ends with a message that names the tool; nothing of it is kept."""
    step, kinds, name = {
        "verilator": ("simulate", ("simulators",), "Verilator"),
        "compiler": ("simulate", ("simulators",), "C++ compiler"),
        "yosys": ("synthesize", ("synthesis",), "yosys"),
        "nextpnr": ("place", ("placements",), "nextpnr"),
        "ecppack": ("place", ("placements",), "ecppack"),
    }[tool]
    runs.begun(place, WORK / "reference" / "run", step)
    cold(place, *kinds)
    more = stand_in.environment(tool, how, place.home / "tools")
    if "PYTHONPATH" in more:
        more["PYTHONPATH"] = f"{place.home / 'tools'}:{runs.environment(place)['PYTHONPATH']}"
    if how == "hang":
        more["INTAGLIO_TOOL_SECONDS"] = HANG_SECONDS
    words = (name, "C++ compiler") if (tool, how) == ("verilator", "half") else (name,)
    runs.fails(place, runs.start(place, **more), *words)
    runs.resume(place, WORK / "reference" / "run")


def on_a_small_disk(place: Place, small: Path, size: int, fill: str, before: Path | None = None) -> None:
    """Run with `small` on a disk of `size` KiB, then of 1 GiB: told in the first run, equal after the second."""
    small.mkdir(parents=True, exist_ok=True)
    script = f'mount -t tmpfs -o size=1g none "$1"; {fill}; used=$(du -sk "$1" | cut -f1); '
    script += 'mount -o remount,size=$((used + $2))k "$1"; shift 2; "$@" > /dev/null; echo "status $?"; '
    script += 'find "$small" -name ".building-*" -o -name "*.tmp" | sed "s/^/left /"; '
    script += 'mount -o remount,size=1g "$small"; "$@" > /dev/null; echo "status $?"; cp -r "$run" "$kept"'
    shell = ["unshare", "-rm", "sh", "-c", script, "sh", str(small), str(size), *runs.command(place.folder)]
    more = {"small": str(small), "run": str(place.folder), "kept": str(place.home / "kept"), "before": str(before)}
    shutil.rmtree(place.home / "kept", ignore_errors=True)
    done = subprocess.run(shell, cwd=runs.ROOT, env=runs.environment(place, **more), capture_output=True, text=True)
    first, *left, second = done.stdout.splitlines()
    told = "disk is full" in done.stderr or "disk full" in done.stderr
    place.blame(first not in ("status 0", "status 2"), f"on the small disk: {first}")
    place.blame(first == "status 2" and not told, f"it does not say that the disk is full: {done.stderr[-400:]}")
    place.blame(bool(left), f"left behind: {left}")
    place.blame(second != "status 0", f"with room: {second}: {done.stderr[-400:]}")
    runs.leavings(place, done.stderr)
    if second == "status 0":
        runs.equal(place, place.home / "kept", WORK / "reference" / "run")


def full_folder(size: int, place: Place) -> None:
    """The disk of the run folder is full."""
    runs.copy(WORK / "cache", place.cache)
    on_a_small_disk(place, place.folder, size, ":")


def full_cache(size: int, place: Place) -> None:
    """The disk of the cache is full when the design's own entries are built."""
    runs.begun(place, WORK / "reference" / "run", "simulate")
    cold(Place(place.home, place.home / "before"))
    on_a_small_disk(place, place.cache, size, 'cp -r "$before"/. "$1"', place.home / "before")


def same_folder(place: Place) -> None:
    """Of two runs in one folder the second is sent away, and the first does not notice."""
    runs.copy(WORK / "cache", place.cache)
    sign = place.home / "sign"
    first = runs.start(place, TINY_WAITS=f"train:{sign}")
    while not sign.exists():
        time.sleep(0.01)
    second = runs.start(place)
    said = second.communicate()[1]
    place.blame(second.returncode != 2 or "another run is at work" not in said, f"the second run: {said[-300:]}")
    first.send_signal(signal.SIGTERM)
    runs.leavings(place, first.communicate()[1] + said)
    runs.resume(place, WORK / "reference" / "run")


def same_cache(kill: bool, place: Place) -> None:
    """Two runs that need the same results of the tools: one builds, one waits, or goes on when the first is killed."""
    cold(place)
    folders = [place.home / name for name in ("run", "other")]
    for folder in folders:
        runs.begun(Place(place.home, place.cache), WORK / "reference" / "run", "simulate")
        if folder.name == "other":
            shutil.copytree(place.folder, folder)  # not by links, which would share the lock
    pair = [runs.start(place, folder) for folder in folders]
    if kill:
        while not any((place.cache / "simulators").glob(".building-*")):
            time.sleep(0.01)
        pair[0].kill()
    said = [process.communicate()[1] for process in pair]
    statuses = [process.returncode for process in pair]
    place.blame(statuses != [-9 if kill else 0, 0], f"statuses {statuses}: {said}")
    runs.leavings(place, "".join(said))
    runs.resume(place, WORK / "reference" / "run")
    runs.equal(place, folders[1], WORK / "reference" / "run")


def cases() -> list[Case]:
    """All of them."""
    ended = [
        Case("signals", f"{number.name} at {step}, {'warm' if warm else 'cold'} cache",
             partial(signalled, step, number, warm))
        for warm in (True, False) for step in tiny.STEPS for number in SIGNALS
    ]  # fmt: skip
    tools = [Case("tools", f"{t}: {how}", partial(misbehaving, t, how)) for t in stand_in.TOOLS for how in HOWS]
    folders = [Case("disk", f"run folder on {size} KiB", partial(full_folder, size)) for size in FOLDER_SIZES]
    caches = [Case("disk", f"cache with {size} KiB left", partial(full_cache, size)) for size in CACHE_SIZES]
    two = [Case("two", "two runs in one folder", same_folder)]
    two += [Case("two", "two runs with one cache", partial(same_cache, False))]
    two += [Case("two", "two runs with one cache, one killed", partial(same_cache, True))]
    return [*ended, *tools, *folders, *caches, *two]


def mountable() -> bool:
    """Whether a small file system can be mounted here."""
    shell = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    return shutil.which("unshare") is not None and subprocess.run(shell, capture_output=True).returncode == 0


def attempt(case: Case) -> dict[str, object]:
    """Try one case in a place of its own, which is removed when all is well."""
    home = WORK / "case"
    shutil.rmtree(home, ignore_errors=True)
    place, begin = Place(home, home / "cache"), time.monotonic()
    home.mkdir(parents=True)
    try:
        case.act(place)
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        place.faults.append(f"the case itself: {error!r}")
    if place.faults:
        kept = WORK / "failed" / case.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.parent.mkdir(exist_ok=True)
        home.rename(kept)
    return {"kind": case.kind, "case": case.name, "held": not place.faults, "faults": place.faults,
            "wall_s": time.monotonic() - begin}  # fmt: skip


def record(done: dict[str, dict[str, object]], wanted: list[Case], possible: bool) -> None:
    """Write what is known so far."""
    tried = [done[case.name] for case in wanted if case.name in done]
    targets = []
    for kind in dict.fromkeys(case.kind for case in wanted):
        count = sum(case.kind == kind for case in wanted)
        held = sum(bool(row["held"]) for row in tried if row["kind"] == kind)
        targets.append(Target(f"{kind}: cases of {count} that held", held, count))
    notes = [f"{len(wanted) - len(tried)} of {len(wanted)} cases were not tried"] if len(tried) < len(wanted) else []
    notes += [] if possible else ["no small file system can be mounted here: full disks were not tried"]
    save("run_faults", CLAIM, {"job": tiny.JOB, "hang_s": HANG_SECONDS}, tried, targets, notes=notes)
    show_targets(targets)


def main(arguments: list[str]) -> int:
    """Try what was not tried; 1 when a case did not hold."""
    everything, possible = cases(), mountable()
    wanted = [c for c in everything if not arguments or c.kind in arguments or c.name in arguments]
    journal = WORK / "journal.json"
    done = json.loads(journal.read_text()) if journal.is_file() else {}
    reference()
    for case in wanted:
        if done.get(case.name, {}).get("held") or (case.kind == "disk" and not possible):
            continue
        done[case.name] = attempt(case)
        print("held " if done[case.name]["held"] else "FAULT", case.name, *done[case.name]["faults"], flush=True)
        journal.write_text(json.dumps(done, indent=1))
    record(done, everything, possible)
    rows = [(name, "; ".join(row["faults"])) for name, row in done.items() if not row["held"]]
    show("Cases that did not hold", ("case", "why"), rows)
    return int(bool(rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
