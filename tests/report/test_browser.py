"""The report as a browser shows it: headless Chromium runs its script and prints what became of the page."""

import json
import re
import shutil
import subprocess

import pytest

from intaglio.report import render
from tests.report.sample import sample

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
QUIET = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PROBE = """<script>addEventListener("load", () => {
  const all = s => [...document.querySelectorAll(s)], text = s => all(s).map(e => e.textContent.trim());
  const shown = s => all(s).filter(e => e.offsetHeight > 0).length;
  const before = getComputedStyle(document.body).backgroundColor;
  const buttons = all("#filter button"), pick = n => buttons.find(b => b.textContent.startsWith(n)).click();
  const found = {
    answers: text("#verdict .answer"), states: all("#verdict article").map(e => e.className),
    lines: text("#verdict .line.good dd"), layers: shown("#layers tbody tr"), off: text("#layers .off"),
    numbers: shown("#measurements tbody tr"), filters: buttons.map(b => b.textContent),
    bars: all("#weights figure").map(f => f.querySelectorAll("rect").length),
    units: text("#shares .row-name"), spans: shown("#timeline .row"), steps: shown(".flow li"),
    requests: performance.getEntriesByType("resource").map(r => r.name),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    ratio: all("#timeline svg").map(s => s.getBoundingClientRect().width).every(w => w > 100),
  };
  pick("synthesised"); found.filtered = shown("#measurements tbody tr"); pick("all");
  found.restored = shown("#measurements tbody tr");
  document.getElementById("theme").click();
  found.themed = getComputedStyle(document.body).backgroundColor !== before;
  const out = document.createElement("pre"); out.id = "probe"; out.textContent = JSON.stringify(found);
  document.body.append(out);
});</script></body>"""

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: the report is not looked at")


def look(tmp_path, data, width):
    page = tmp_path / "report.html"
    page.write_text(render(data).replace("</body>", PROBE))
    size, profile = f"--window-size={width},900", f"--user-data-dir={tmp_path / 'profile'}"
    command = [str(CHROMIUM), *QUIET, profile, size, "--dump-dom", page.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=1200, check=True).stdout
    found = re.search(r'<pre id="probe">(.*?)</pre>', dom, re.S)
    assert found, "the page's script did not run"
    return json.loads(found[1].replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))


def test_what_the_page_shows(tmp_path):
    data = sample()
    seen = look(tmp_path, data, 1400)
    assert seen["answers"][0] == "Yes, bit for bit and cycle for cycle."
    assert seen["states"] == ["card good", "card plain", "card plain"]
    assert len(seen["lines"]) == 5 and "0 mismatches in 360 images simulated" in seen["lines"]
    assert seen["layers"] == len(data.layers) and seen["off"] == []
    assert seen["numbers"] == len(data.measurements) == seen["restored"]
    assert seen["filters"][0] == f"all {len(data.measurements)}"
    assert seen["filtered"] == sum(m.source == "synthesised" for m in data.measurements)
    assert seen["bars"] == [sum(c > 0 for c in h.counts) for h in data.weights]
    assert len(seen["units"]) == len(data.units) and seen["spans"] == len(data.units) + 1
    assert seen["steps"] == len(data.flow)
    assert seen["requests"] == [] and seen["themed"] and seen["overflow"] <= 0


def test_a_failure_is_seen_at_once_on_a_narrow_screen(tmp_path):
    seen = look(tmp_path, sample(mismatches=3, latency=1311), 500)
    assert seen["answers"][0] == "No. It differs." and seen["states"][0] == "card bad"
    assert seen["overflow"] <= 0 and seen["ratio"]
