"""The report in parts: what the verdict says, that rows survive JSON, what figures draw."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from intaglio.ir.errors import DataError
from intaglio.report import (
    Accuracy,
    Histogram,
    LayerRow,
    RangeRow,
    ReportData,
    UnitRow,
    from_json,
    render,
    to_json,
)
from intaglio.report.figures.accuracy import accuracies, wilson
from intaglio.report.figures.histograms import histograms
from intaglio.report.figures.ranges import ranges
from intaglio.report.svg import element, ticks
from intaglio.report.text import number, si, storage
from intaglio.report.verdict import accuracy, cost, equality, noise
from tests.report.sample import escaped, measurements, sample


class Balance(HTMLParser):
    """Collects elements and complains about tags that do not match."""

    VOID = frozenset(("meta", "link", "br"))

    def __init__(self):
        super().__init__()
        self.open, self.counts, self.words = [], {}, []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def parsed(html):
    parser = Balance()
    parser.feed(html)
    assert parser.open == []
    return parser


def test_the_page_is_whole_and_needs_nothing_else():
    html = render(sample())
    assert parsed(html).counts["article"] == 3
    assert not re.search(r"https?://|<link(?! rel=\"icon\" href=\"data:)|@import|src=|url\((?!#)", html)
    assert len(html) < 1_000_000 and "nan" not in html.lower().split()


def test_an_empty_run_still_renders():
    html = render(ReportData("Nothing", "demo", ()))
    assert "Not checked." in html and "Not measured." in html and 'id="layers"' not in html
    parsed(html)


def test_everything_foreign_is_escaped():
    html = render(escaped())
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html and "nobody <b>" not in html


def test_equal_needs_every_comparison_to_be_made_and_to_hold():
    assert equality(measurements()).answer == "Yes, bit for bit and cycle for cycle."
    assert equality(measurements()).state == "good" and equality(measurements()).note == ""
    wrong = equality(measurements(mismatches=3))
    assert wrong.state == "bad" and wrong.lines[1].value == "3 mismatches in 360 images"
    assert equality([]).state == "open" and equality([]).answer == "Not checked."


@pytest.mark.parametrize("latency", [1309, 1311])
def test_a_simulation_that_is_faster_than_the_model_is_as_wrong_as_a_slower_one(latency):
    late = equality(measurements(latency=latency))
    assert late.state == "bad" and f"{latency:,} cycles, predicted 1,310" in [line.value for line in late.lines]


CHECKS = [(m.name, m.source) for m in measurements() if m.name.startswith(("mismatches.", "cycles."))]


@pytest.mark.parametrize(("name", "source"), CHECKS)
def test_a_comparison_that_was_not_made_leaves_the_answer_open(name, source):
    left = [m for m in measurements() if (m.name, m.source) != (name, source)]
    card = equality(left)
    assert len(left) == len(measurements()) - 1
    assert (card.state, card.answer) == ("open", "Not all was checked.")
    assert card.note == "1 comparison not made in this run."


def test_what_freezing_changes_stands_beside_the_comparisons():
    found = (("freezing.deviation", 0.7312), ("freezing.class_changes", 2))
    card = equality([*measurements(), *(replace(measurements()[0], name=name, value=v, unit="") for name, v in found)])
    assert card.state == "good"
    merging = [line.value for line in card.lines if "merging" in line.name]
    assert merging == ["2 classes of 360 images, outputs by at most 0.73 %"]
    assert not any("merging" in line.name for line in equality(measurements()).lines)


def test_a_comparison_of_no_image_was_not_made():
    none = [replace(m, n=0) if m.name == "mismatches.graph_rtl" else m for m in measurements()]
    assert equality(none).state == "open"
    cited = [replace(m, source="cited") if m.name == "mismatches.graph_rtl" else m for m in measurements()]
    assert equality(cited).state == "open"
    differs = [replace(m, n=0) if m.name == "mismatches.graph_rtl" else m for m in measurements(mismatches=1)]
    assert equality([*measurements(), *differs]).state == "bad"


def test_the_worst_of_several_records_counts():
    wrong = measurements(mismatches=3)
    assert equality([*measurements(), *wrong]).state == equality([*wrong, *measurements()]).state == "bad"
    fast = measurements(latency=1300)
    assert equality([*measurements(), *fast]).state == "bad"


def test_accuracy_says_what_the_samples_can_tell():
    assert noise(50, 50, 10_000) == pytest.approx(1.386, abs=1e-3)
    card = accuracy(measurements())
    assert card.answer == "96.94 % right." and "within the ±2.40 points that 360 samples" in card.note
    many = [replace(m, n=100_000) if m.n == 360 else m for m in measurements()]
    assert "larger than the ±0.14 points" in accuracy(many).note


def test_cost_sums_weights_and_side_tables():
    values = {line.name: line.value for line in cost(measurements()).lines}
    assert values["weights, side tables"] == "1.68 kB" and values["FF · DSP · BRAM"] == "1,377 · 0 · 4"


def test_only_the_subject_makes_the_verdict():
    data = sample()
    # Reversed, so that the other network comes first.
    html = render(replace(data, measurements=data.measurements[::-1]))
    assert "96.94 % right" in html and "12.00 % right" not in html and "<td>elsewhere</td>" in html


def test_data_round_trips():
    data = sample()
    assert from_json(to_json(data)) == data
    with pytest.raises(DataError, match="subject"):
        from_json(json.dumps({"title": "x", "measurements": []}))
    with pytest.raises(DataError, match="not the data of a report"):
        from_json("{")


def test_rows_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="shares of one interval"):
        UnitRow("conv1", "matmul", 10, busy=0.9, stalled=0.2)
    with pytest.raises(DataError, match="no value or no sample"):
        Accuracy("float", (), 10)
    with pytest.raises(DataError, match="not all between 0 and 100 %"):
        Accuracy("float", (98.0, 101.0), 10)
    for row in (lambda: Histogram("fc", 0, 2, (1, -1)), lambda: RangeRow("fc", 4, (-8, 7), (-8, 7), (1, -1))):
        with pytest.raises(DataError, match="fc was counted -1 times"):
            row()


def test_wilson_against_the_published_formula():
    low, high = wilson(0.9, 100)
    assert (low, high) == (pytest.approx(0.8256, abs=1e-4), pytest.approx(0.9448, abs=1e-4))
    assert wilson(1.0, 50)[1] == 1.0 and wilson(0.0, 50)[0] == 0.0


def test_histograms_draw_one_bar_per_value_and_mark_zero():
    html = str(histograms([Histogram("conv1", -1.5, 1.5, (4, 900, 2))]))
    assert html.count('class="bar') == 3 and html.count("bar zero") == 1
    assert "−1: 4 of 906" in html and "0: 900 of 906" in html


def test_accuracies_stay_inside_the_picture():
    html = str(accuracies([Accuracy("a", (100.0,), 5), Accuracy("b", (0.0, 1.0), 5)]))
    assert all(-0.01 <= float(x) <= 100.01 for x in re.findall(r'(?:x|cx|x1)="(-?[\d.]+)%"', html))


def test_a_range_in_full_use_fills_its_line():
    html = str(ranges([RangeRow("relu", 4, (0, 15), (0, 15), (1,) * 16), RangeRow("x", 3, (-4, 3), (0, 0))]))
    assert '<rect x="0%" y="0" width="100%" height="20" class="interval">' in html and ">100%<" in html
    assert 'x1="56.25%"' in html and ">12%<" in html  # one of eight values, and zero in the middle of its bin


def test_layers_that_take_other_cycles_than_predicted_stand_out():
    rows = (LayerRow("a", "conv2d", "1", cycles_modelled=5, cycles_simulated=6), LayerRow("b", "conv2d", "1"))
    html = render(replace(sample(), layers=rows))
    assert html.count('class="n off"') == 1 and "BRAM</th>" not in html
    assert "BRAM</th>" in render(sample()) and 'class="n off"' not in render(sample())


def test_plans_of_layers_are_told_below_them():
    rows = (LayerRow("a", "conv2d", "1", plan="stored as <codes>"), LayerRow("b", "max_pool", "1"))
    html = render(replace(sample(), layers=rows))
    assert "<dt>a</dt><dd>stored as &lt;codes&gt;</dd>" in html and "<dt>b</dt>" not in html
    assert 'id="plans"' not in render(replace(sample(), layers=rows[1:]))


def test_numbers_read_well():
    assert [number(v) for v in (None, 3, 1234567.0, 0.12345, -2, 1e-9)] == [
        "–", "3", "1,234,567", "0.1235", "−2", "1e−09"
    ]  # fmt: skip
    assert si(4.2e-6, "s") == "4.2 µs" and si(0, "J") == "0 J" and storage(7999) == "7,999 bit"
    assert storage(16_000) == "2 kB"
    assert ticks(0, 100) == [0, 20, 40, 60, 80, 100] and ticks(-1, 1, 4) == [-1, -0.5, 0, 0.5, 1]
    assert element("a", "<", href='"') == '<a href="&#34;">&lt;</a>'
