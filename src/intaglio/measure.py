"""What a run found out, and the folder that keeps it.

A `Measurement` is one number with its origin. A `RunFolder` keeps the files of one run; every file is written
whole or not at all, and every finished step is marked with the hash of what went in and of what came out. So
a run that was killed at any moment continues with the first step that is not finished.
"""

import difflib
import json
import math
import shutil
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, cast, get_args

from intaglio.files import content_key, file_key, locked, sweep, write_atomically
from intaglio.ir.errors import DataError, IntaglioError, shown
from intaglio.reading import parse_json, read_text

Source = Literal["measured", "simulated", "synthesised", "modelled", "cited"]


@dataclass(frozen=True)
class Quantity:
    """A quantity that may be measured: its unit and what it means."""

    unit: str
    about: str


NAMES: Mapping[str, Quantity] = {
    "top1": Quantity("%", "samples whose largest output is the right class"),
    "float_top1": Quantity("%", "the same for the float network that the run started from"),
    "perplexity": Quantity("1", "exp of the mean cross entropy per token"),
    "mismatches.torch_graph": Quantity("1", "outputs in which PyTorch and the Graph differ"),
    "freezing.deviation": Quantity("%", "largest change of an output by merged norms and biases, of the largest"),
    "freezing.class_changes": Quantity("1", "inputs to which the hardware's form gives another class than the layers"),
    "mismatches.graph_rtl": Quantity("1", "outputs in which Graph and simulation differ"),
    "mismatches.graph_netlist": Quantity("1", "outputs in which Graph and netlist differ"),
    "mismatches.verilator_cxxrtl": Quantity("1", "outputs in which two simulators differ"),
    "cycles.latency": Quantity("cycle", "first beat in to last beat out of one isolated frame"),
    "cycles.interval": Quantity("cycle", "distance of the last beats of consecutive frames under saturation"),
    "ops": Quantity("op/cl", "additions, multiplications and shifts in their place; none for a weight of zero"),
    "ops.multiply": Quantity("op/cl", "multiplications"),
    "ops.add": Quantity("op/cl", "additions"),
    "ops.shift": Quantity("op/cl", "shifts"),
    "ops.xnor": Quantity("op/cl", "XNORs"),
    "ops.lookup": Quantity("op/cl", "table look-ups"),
    "sparsity": Quantity("%", "weights that are zero"),
    "storage.float_bits": Quantity("bit", "weights and biases of the float network at 32 bits each"),
    "storage.weight_bits": Quantity("bit", "weights as encoded, positions of zeros included"),
    "storage.side_bits": Quantity("bit", "all other constants: scales, offsets, shifts, bounds, thresholds, tables"),
    "storage.file_bytes": Quantity("byte", "a real file from which the same integers are decoded again"),
    "storage.memory_bits": Quantity("bit", "every memory, table and list of steps of the carved design"),
    "compression": Quantity("1", "float_bits / (weight_bits + side_bits)"),
    "compression.memory": Quantity("1", "float_bits / memory_bits"),
    "traffic.bytes": Quantity("byte/cl", "bytes moved to and from memory outside the chip"),
    "intensity": Quantity("op/byte", "ops / traffic.bytes"),
    "area.lut": Quantity("cell", "look-up tables as the technology counts them"),
    "area.lut4_eq": Quantity("LUT4", "LUT4 + 2 CCU2C + 4 TRELLIS_DPR16X4 (ECP5)"),
    "area.ff": Quantity("cell", "flip-flops"),
    "area.dsp": Quantity("cell", "hard multipliers"),
    "area.bram": Quantity("cell", "block memories"),
    "area.um2": Quantity("um2", "cell area of a standard-cell library"),
    "fmax_mhz": Quantity("MHz", "highest clock after placement and routing"),
    "throughput.cl_per_s": Quantity("cl/s", "classifications per second"),
    "latency.s": Quantity("s", "cycles.latency at the clock used"),
    "energy.j_per_cl": Quantity("J/cl", "energy per classification"),
    "energy.cl_per_j": Quantity("cl/J", "classifications per joule"),
    "duration.s": Quantity("s", "wall time of a step of the run; the subject is the step"),
}
"""Every name a record may have. People script against these: names are added, never changed."""


SHARES = ("top1", "float_top1", "sparsity")
"""Names of what lies between 0 and 100 %."""


def _known(kind: str, value: str, choices: Iterable[str]) -> None:
    choices = tuple(choices)
    if value not in choices:
        near = difflib.get_close_matches(value, choices, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(choices)}"
        raise DataError(f"unknown {kind} {value!r} in a measurement: {remedy}")


@dataclass(frozen=True)
class Measurement:
    """One number: of what, how large, found how, by which tool.

    The unit follows from the name (`NAMES`) and may be left out. `n` counts the samples behind the value.
    """

    subject: str
    name: str
    value: float
    source: Source
    by: str
    n: int | None = None
    seeds: tuple[int, ...] = ()
    note: str = ""
    unit: str = ""

    def __post_init__(self) -> None:
        _known("name", self.name, NAMES)
        _known("source", self.source, get_args(Source))
        unit = NAMES[self.name].unit
        if self.unit not in ("", unit):
            raise DataError(f"{self.subject}: {self.name} is counted in {unit!r}, not in {self.unit!r}")
        if not math.isfinite(self.value):
            raise DataError(f"{self.subject}: {self.name} is {self.value}; a measurement is a finite number")
        if self.name in SHARES and not 0 <= self.value <= 100:
            raise DataError(f"{self.subject}: {self.name} is {self.value} %; a share lies between 0 and 100")
        if self.n is not None and self.n < 0:
            raise DataError(f"{self.subject}: {self.name} was found on {self.n} samples; a count is not negative")
        if not self.subject or not self.by:
            raise DataError(f"{self.name} = {self.value}: say of what (subject) and by which tool (by)")
        object.__setattr__(self, "unit", unit)
        object.__setattr__(self, "seeds", tuple(self.seeds))

    def record(self) -> dict[str, Any]:
        """The record of measurements.json, its keys in the published order."""
        order = ("subject", "name", "value", "unit", "source", "by", "n", "seeds", "note")
        return {key: list(self.seeds) if key == "seeds" else getattr(self, key) for key in order}

    @classmethod
    def from_record(cls, record: object) -> "Measurement":
        """The inverse of `record`; raises DataError where keys are missing or unknown."""
        if not isinstance(record, dict):
            raise DataError(f"a measurement is a JSON object, not {shown(record)}")
        entries = cast(dict[str, Any], record)
        for key, value in entries.items():
            _known("key", key, (f.name for f in fields(cls)))
            _check_kind(key, value)
        try:
            complete: dict[str, Any] = {**entries, "seeds": tuple(entries.get("seeds", ()))}
            return cls(**complete)
        except TypeError as error:
            raise DataError(f"not a complete measurement: {shown(entries)} ({error})") from None


_KINDS: Mapping[str, tuple[type, ...]] = {"value": (int, float), "n": (int, type(None)), "seeds": (list, tuple)}
"""What JSON gives for the keys of a record that are not text."""


def _check_kind(key: str, value: object) -> None:
    """DataError unless the value of a record's key is of its kind, a number one that float64 holds, text printable."""
    numbers = cast(list[object], value) if isinstance(value, list | tuple) else []
    right = isinstance(value, _KINDS.get(key, (str,))) and not isinstance(value, bool)
    right = right and not (isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value))
    small = not isinstance(value, int) or value.bit_length() <= 1023
    if not (right and small and all(type(number) is int for number in numbers)):
        raise DataError(f"{key} of a measurement is {shown(cast(object, value))}: write it as `dump` does")


def dump(measurements: Iterable[Measurement]) -> str:
    """Measurements as JSON text, one record per line."""
    lines = ",\n".join(json.dumps(m.record(), ensure_ascii=False) for m in measurements)
    return f"[\n{lines}\n]\n" if lines else "[]\n"


def load(text: str, where: str = "measurements") -> tuple[Measurement, ...]:
    """The inverse of `dump`."""
    records = parse_json(text, where)
    if not isinstance(records, list):
        raise DataError(f"{where} must hold a list of records")
    return tuple(Measurement.from_record(r) for r in cast(list[object], records))


def find(measurements: Iterable[Measurement], name: str, source: Source | None = None) -> Measurement | None:
    """The first measurement of that name (and source), or None."""
    return next((m for m in measurements if m.name == name and source in (None, m.source)), None)


# --- a run's folder -------------------------------------------------------------------------------------


def code_key(*parts: str) -> str:
    """A hash of our own sources below the given names ("ir", "train.py"; all if none): new code, new key."""
    root = Path(__file__).parent
    files: set[Path] = set()
    for start in [root / part for part in parts] or [root]:
        if not start.exists():
            raise FileNotFoundError(f"{start}: a key names code that is not there")
        files.update([start] if start.is_file() else (p for p in start.rglob("*") if p.is_file()))
    kept = sorted(p for p in files if "__pycache__" not in p.parts)
    return content_key([str(p.relative_to(root)) for p in kept], *kept)


@dataclass(frozen=True)
class StepResult:
    """What a step leaves behind: files or directories inside the run folder, and numbers."""

    files: tuple[Path, ...] = ()
    measurements: tuple[Measurement, ...] = field(default=())


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run.

    It holds `recipe.yaml graph.txt measurements.json model.safetensors rtl/ logs/ report.html`, and
    `steps/<name>.json` marks a finished step. Whoever runs the steps chooses their order and their keys.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe as it was run."""
        return self.path / "recipe.yaml"

    @property
    def graph(self) -> Path:
        """The integer network as text."""
        return self.path / "graph.txt"

    @property
    def model(self) -> Path:
        """The trained, approximated network."""
        return self.path / "model.safetensors"

    @property
    def rtl(self) -> Path:
        """The generated SystemVerilog and its memories."""
        return self.path / "rtl"

    @property
    def checkpoints(self) -> Path:
        """What training continues from."""
        return self.path / "checkpoints"

    @property
    def logs(self) -> Path:
        """What the tools said."""
        return self.path / "logs"

    @property
    def report(self) -> Path:
        """The report, one file."""
        return self.path / "report.html"

    @property
    def report_data(self) -> Path:
        """What the report shows, so that it can be rendered again."""
        return self.path / "report.json"

    @property
    def measurements(self) -> Path:
        """The machine-readable truth."""
        return self.path / "measurements.json"

    def read_measurements(self) -> tuple[Measurement, ...]:
        """All records of measurements.json; raises DataError where there is no such file."""
        if not self.measurements.is_file():
            raise DataError(f"{self.path} holds no measurements.json: is it the folder of a run?")
        return load(read_text(self.measurements), str(self.measurements))

    def write(self, name: str, content: str | bytes) -> Path:
        """Write a file of the folder, whole or not at all; returns its path."""
        path = self.path / name
        write_atomically(path, content)
        return path

    def remove(self, *names: str) -> None:
        """Remove files or directories of the folder that no longer say what is so."""
        for name in names:
            path = self.path / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    @contextmanager
    def lock(self) -> Generator[None]:
        """Keep the folder for this process, without what a killed one left half written there.

        The system lets go of it however the process ends. Raises IntaglioError while another run is at work in it,
        and where directories that it would remove are of something else than a run.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        ours = (self.path / ".lock").exists() or (self.path / "steps").is_dir()
        for other in () if ours else (self.rtl, self.checkpoints):
            if other.exists():
                raise IntaglioError(f"{other} is not of a run, which would replace it: choose an empty folder")
        with ExitStack() as held:
            try:
                held.enter_context(locked(self.path / ".lock", wait=False))
            except BlockingIOError:
                text = f"another run is at work in {self.path}: wait for it, or choose another folder"
                raise IntaglioError(text) from None
            sweep(self.path)
            yield

    def finished(self, name: str, key: str) -> tuple[Measurement, ...] | None:
        """The measurements of a step finished with this key, all of its files unaltered; otherwise None."""
        try:
            marker = parse_json(read_text(self._marker(name)), name)
            files = {self.path / name: made for name, made in marker["files"].items()}
            whole = marker["key"] == key and all(f.is_file() and file_key(f) == made for f, made in files.items())
            return load(json.dumps(marker["measurements"])) if whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # no marker, or one that is not whole: the step is run again

    def step(self, name: str, key: str, action: Callable[[], StepResult]) -> tuple[Measurement, ...]:
        """The measurements of a finished step; or else do it, by `action`, and mark it finished."""
        done = self.finished(name, key)
        if done is not None:
            return done
        self._marker(name).unlink(missing_ok=True)
        product = action()
        hashes = {str(f.relative_to(self.path)): file_key(f) for f in _files(product.files)}
        records = [m.record() for m in product.measurements]
        marker = {"step": name, "key": key, "files": hashes, "measurements": records}
        write_atomically(self._marker(name), json.dumps(marker, indent=1, ensure_ascii=False) + "\n")
        return product.measurements

    def _marker(self, name: str) -> Path:
        return self.path / "steps" / f"{name}.json"


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
