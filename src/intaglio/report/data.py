"""What a report shows, as plain values: no network, no torch, no tool is needed to render it again."""

from dataclasses import dataclass
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from intaglio.ir.errors import DataError
from intaglio.measure import Measurement, Source


@dataclass(frozen=True)
class LayerRow:
    """One layer of the carved network; what is not known is None and shown as a dash.

    `bits` counts all that the layer stores, side tables included. `cycles_*` are its cycles per frame. `plan` says how
    its weights are stored, fetched and multiplied.
    """

    name: str
    op: str
    shape: str
    weight_format: str = ""
    activation_format: str = ""
    encoding: str = ""
    folding: str = ""
    weights: int | None = None
    zeros: int | None = None
    bits: int | None = None
    ops: int | None = None
    cycles_modelled: int | None = None
    cycles_simulated: int | None = None
    lut4_eq: int | None = None
    ff: int | None = None
    dsp: int | None = None
    bram: int | None = None
    plan: str = ""

    @property
    def differs(self) -> bool:
        """Cycles were both modelled and simulated, and are not the same."""
        return (
            None not in (self.cycles_modelled, self.cycles_simulated)
            and self.cycles_modelled != self.cycles_simulated
        )


@dataclass(frozen=True)
class BusySpan:
    """A stretch [start, stop) of cycles in which a unit works on a frame (numbered from 0)."""

    start: int
    stop: int
    frame: int = 0


@dataclass(frozen=True)
class UnitRow:
    """A hardware unit under saturation.

    `busy` and `stalled` are shares of the interval, the rest is idle; `cycles` are its busy cycles per frame.
    """

    name: str
    kind: str
    cycles: int
    busy: float
    stalled: float = 0.0
    spans: tuple[BusySpan, ...] = ()

    def __post_init__(self) -> None:
        if min(self.busy, self.stalled) < 0 or not self.busy + self.stalled <= 1 + 1e-9:
            text = f"unit {self.name}: busy {self.busy}, stalled {self.stalled} are shares of one interval"
            raise DataError(f"{text}; give fractions that add up to at most 1")


def _check_counts(name: str, counts: tuple[int, ...]) -> None:
    if min(counts, default=0) < 0:
        raise DataError(f"{name} was counted {min(counts)} times; a count is not negative")


@dataclass(frozen=True)
class Histogram:
    """Counts in equal bins over [low, high]; for integers, one bin per value from low - 1/2 to high + 1/2."""

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    note: str = ""

    def __post_init__(self) -> None:
        _check_counts(self.name, self.counts)


@dataclass(frozen=True)
class RangeRow:
    """The proved range of a wire, what was seen on it, and `counts` of that in equal bins over it.

    Bins reach from proved[0] - 1/2 to proved[1] + 1/2; take no more of them than there are values.
    """

    name: str
    bits: int
    proved: tuple[int, int]
    seen: tuple[int, int]
    counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        _check_counts(self.name, self.counts)


@dataclass(frozen=True)
class Accuracy:
    """Correct answers in percent, one value per seed, on `n` samples each."""

    name: str
    values: tuple[float, ...]
    n: int
    seeds: tuple[int, ...] = ()
    source: Source = "measured"

    def __post_init__(self) -> None:
        if not self.values or self.n < 1:
            raise DataError(f"accuracy {self.name!r}: no value or no sample; leave the row out")
        if not 0 <= min(self.values) <= max(self.values) <= 100:
            raise DataError(f"accuracy {self.name!r}: {self.values} are not all between 0 and 100 %")

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return sum(self.values) / len(self.values)


@dataclass(frozen=True)
class FlowStep:
    """One step of the run."""

    name: str
    about: str = ""
    seconds: float | None = None
    state: Literal["done", "failed", "skipped"] = "done"


@dataclass(frozen=True)
class ReportData:
    """Everything on the page. The verdict is taken from those `measurements` whose subject is `subject`."""

    title: str
    subject: str
    measurements: tuple[Measurement, ...]
    subtitle: str = ""
    created: str = ""
    layers: tuple[LayerRow, ...] = ()
    units: tuple[UnitRow, ...] = ()
    interval: int | None = None
    weights: tuple[Histogram, ...] = ()
    ranges: tuple[RangeRow, ...] = ()
    accuracies: tuple[Accuracy, ...] = ()
    flow: tuple[FlowStep, ...] = ()
    command: str = "intaglio run"
    recipe: str = ""
    graph: str = ""
    versions: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


_ADAPTER = TypeAdapter(ReportData)


def to_json(data: ReportData) -> str:
    """The data as JSON text, kept beside the report so that it can be rendered again."""
    return _ADAPTER.dump_json(data, indent=1).decode()


def from_json(text: str) -> ReportData:
    """The inverse of `to_json`; raises DataError where the text is something else."""
    try:
        return _ADAPTER.validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "the text"
        raise DataError(f"not the data of a report: {place}: {first['msg']}") from None
