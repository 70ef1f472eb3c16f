"""The three answers at the top of the page, each taken from measurements and from nothing else."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from intaglio.measure import Measurement, Source, find
from intaglio.report.text import number, percent, points, si, storage

State = Literal["good", "bad", "open", "plain"]
Show = Callable[[float], str]


@dataclass(frozen=True)
class CardLine:
    """One fact on a card: what it is, its value, where it comes from."""

    name: str
    value: str
    source: Source | None = None
    by: str = ""
    state: State = "plain"


@dataclass(frozen=True)
class Card:
    """A question, its answer in a few words, and the facts behind it."""

    question: str
    answer: str
    state: State
    lines: tuple[CardLine, ...]
    note: str = ""


EQUALITIES = (
    ("mismatches.torch_graph", "PyTorch = integer graph"),
    ("mismatches.graph_rtl", "graph = simulated SystemVerilog"),
    ("mismatches.graph_netlist", "graph = synthesised netlist"),
    ("mismatches.verilator_cxxrtl", "Verilator = CXXRTL"),
)
CYCLES = (("cycles.latency", "latency"), ("cycles.interval", "interval"))


def verdict(measurements: Sequence[Measurement]) -> tuple[Card, Card, Card]:
    """The cards: is it equal, how accurate is it, what does it cost."""
    return equality(measurements), accuracy(measurements), cost(measurements)


def equality(measurements: Sequence[Measurement]) -> Card:
    """Equal if every comparison was made and found no difference; a comparison not made leaves the answer open."""
    bits = [_compared(measurements, name, words) for name, words in EQUALITIES]
    cycles = [_predicted(measurements, name, words) for name, words in CYCLES]
    lines = (*bits, *cycles, *_frozen(measurements))
    states = [line.state for line in lines]
    if "bad" in states:
        return Card("Is it equal?", "No. It differs.", "bad", lines, "Do not build this hardware.")
    missing = states.count("open")
    if missing == len(bits) + len(cycles):
        return Card("Is it equal?", "Not checked.", "open", lines)
    if missing:
        note = f"{missing} comparison{'s' * (missing > 1)} not made in this run."
        return Card("Is it equal?", "Not all was checked.", "open", lines, note)
    return Card("Is it equal?", "Yes, bit for bit and cycle for cycle.", "good", lines)


def _frozen(measurements: Sequence[Measurement]) -> tuple[CardLine, ...]:
    """What merged norms and rounded biases change in the network that is compared above."""
    change, classes = find(measurements, "freezing.deviation"), find(measurements, "freezing.class_changes")
    if change is None or classes is None:
        return ()
    value = f"{number(classes.value)} class{'es' * (classes.value != 1)} of {number(classes.n or 0)} images, "
    value += f"outputs by at most {change.value:.2g} %"
    return (CardLine("changed by merging norms and rounding biases", value, change.source, change.by),)


def _all(measurements: Sequence[Measurement], name: str, source: Source | None = None) -> list[Measurement]:
    return [m for m in measurements if m.name == name and source in (None, m.source)]


def _compared(measurements: Sequence[Measurement], name: str, words: str) -> CardLine:
    """The worst of the comparisons of that name; one over no image at all, or of a model, was not made."""
    made = [m for m in _all(measurements, name) if m.value or (m.n != 0 and m.source in ("measured", "simulated"))]
    if not made:
        return CardLine(words, "not checked", state="open")
    found = max(made, key=lambda m: abs(m.value))
    of = f" in {number(found.n)} images" if found.n is not None else ""
    value = f"{number(found.value)} mismatch{'es' * (found.value != 1)}{of}"
    return CardLine(words, value, found.source, found.by, "bad" if found.value else "good")


def _predicted(measurements: Sequence[Measurement], name: str, words: str) -> CardLine:
    """Whether simulation took exactly the cycles of the model: a faster one is as wrong as a slower one."""
    modelled, simulated = (_all(measurements, name, source) for source in ("modelled", "simulated"))
    if not modelled or not simulated:
        return CardLine(f"{words}: model = simulation", "not checked", state="open")
    pairs = [(a, b) for a in modelled for b in simulated]
    model, found = max(pairs, key=lambda pair: abs(pair[0].value - pair[1].value))
    if found.value == model.value:
        return CardLine(words, f"{number(found.value)} cycles, predicted exactly", "simulated", found.by, "good")
    value = f"{number(found.value)} cycles, predicted {number(model.value)}"
    return CardLine(words, value, "simulated", found.by, "bad")


def noise(first: float, second: float, n: int) -> float:
    """Half width, in points, of the 95 % interval of a difference of accuracies on `n` samples each.

    1.96 sqrt((p(1-p) + q(1-q)) / n) for independent samples; on the same samples the true one is narrower.
    """
    p, q = first / 100, second / 100
    return 196 * sqrt((p * (1 - p) + q * (1 - q)) / n)


def accuracy(measurements: Sequence[Measurement]) -> Card:
    """The approximated network beside the float one, with what that many samples can tell."""
    ours, float_ = find(measurements, "top1"), find(measurements, "float_top1")
    if ours is None:
        return Card("How accurate?", "Not measured.", "open", ())
    lines = [CardLine("this network", percent(ours.value), ours.source, ours.by)]
    note = _samples(ours)
    if float_ is not None:
        lines += [
            CardLine("float network", percent(float_.value), float_.source, float_.by),
            CardLine("difference", points(ours.value - float_.value)),
        ]
        if ours.n:
            note += f" {_resolution(ours.value, float_.value, ours.n)}"
    sparsity = find(measurements, "sparsity")
    if sparsity is not None:
        lines.append(CardLine("weights that are zero", percent(sparsity.value), sparsity.source, sparsity.by))
    return Card("How accurate?", f"{ours.value:.2f} % right.", "plain", tuple(lines), note.strip())


def _samples(found: Measurement) -> str:
    parts = [f"{number(found.n)} samples"] if found.n else []
    parts += [f"{len(found.seeds)} seed{'s' * (len(found.seeds) > 1)}"] if found.seeds else []
    return ", ".join(parts) + "." if parts else ""


def _resolution(ours: float, float_: float, n: int) -> str:
    width = noise(ours, float_, n)
    if abs(ours - float_) <= width:
        return f"The difference is within the ±{width:.2f} points that {number(n)} samples can resolve."
    return f"The difference is larger than the ±{width:.2f} points that {number(n)} samples can resolve."


def cost(measurements: Sequence[Measurement]) -> Card:
    """Speed, area and storage; the answer is the throughput, or else the interval."""
    candidates = (
        _fact(measurements, "throughput.cl_per_s", "throughput", lambda v: f"{number(round(v))} images/s"),
        _fact(measurements, "cycles.interval", "one image every", lambda v: f"{number(v)} cycles"),
        _fact(measurements, "latency.s", "latency", lambda v: si(v, "s")),
        _fact(measurements, "fmax_mhz", "highest clock", lambda v: f"{v:.1f} MHz"),
        _fact(measurements, "area.lut4_eq", "logic", lambda v: f"{number(v)} LUT4-eq"),
        _together(measurements),
        _fact(measurements, "storage.file_bytes", "stored in a file of", lambda v: si(v, "B")),
        _weights(measurements),
        _fact(measurements, "compression", "smaller than float by", lambda v: f"{v:.1f} ×"),
        _fact(measurements, "storage.memory_bits", "in memories of", storage),
        _fact(measurements, "compression.memory", "smaller than float by", lambda v: f"{v:.1f} ×"),
        _fact(measurements, "energy.j_per_cl", "energy per image", lambda v: si(v, "J")),
    )
    lines = tuple(line for line in candidates if line is not None)
    throughput, interval = find(measurements, "throughput.cl_per_s"), find(measurements, "cycles.interval")
    if throughput is not None:
        return Card(
            "What does it cost?", f"{number(round(throughput.value))} images a second.", "plain", lines
        )
    if interval is not None:
        return Card("What does it cost?", f"{number(interval.value)} cycles an image.", "plain", lines)
    return Card("What does it cost?", "Not measured.", "open", lines)


def _fact(measurements: Sequence[Measurement], name: str, words: str, show: Show) -> CardLine | None:
    found = find(measurements, name)
    return None if found is None else CardLine(words, show(found.value), found.source, found.by)


def _together(measurements: Sequence[Measurement]) -> CardLine | None:
    kinds = (("area.ff", "FF"), ("area.dsp", "DSP"), ("area.bram", "BRAM"))
    known = [(m, words) for name, words in kinds if (m := find(measurements, name)) is not None]
    if not known:
        return None
    text = " · ".join(number(m.value) for m, _ in known)
    return CardLine(" · ".join(words for _, words in known), text, known[0][0].source, known[0][0].by)


def _weights(measurements: Sequence[Measurement]) -> CardLine | None:
    weight, side = find(measurements, "storage.weight_bits"), find(measurements, "storage.side_bits")
    if weight is None:
        return None
    words = "weights, side tables" if side is not None else "weights"
    total = weight.value + (side.value if side is not None else 0)
    return CardLine(words, storage(total), weight.source, weight.by)
