"""A pytest plugin: cheap tests first, each under a limit; what failed first and what each test cost, in a file.

Its settings are the JSON file that PLANTED names: costs (seconds by test), close (test files whose tests count a
quarter), modules (the only values of a parameter `module`, or none), skip (tests that fail without a fault), report
(the file to write).
"""

import json
import os
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

SETTINGS: dict[str, Any] = json.loads(Path(os.environ["PLANTED"]).read_text())
UNKNOWN = 1.0
CPU_SECONDS, WALL_SECONDS = 60.0, 900.0
"""A test that takes more, and 20 times what it takes without a fault, hangs."""


class Report:
    """What happened."""

    def __init__(self) -> None:
        self.failed: str | None = None
        self.why = ""
        self.costs: dict[str, float] = {}
        self.failures: list[str] = []

    def write(self) -> None:
        """Into the file that the settings name."""
        Path(SETTINGS["report"]).write_text(json.dumps(vars(self)))


REPORT = Report()


def _cost(name: str) -> float:
    return SETTINGS["costs"].get(name, UNKNOWN) / (4 if name.partition("::")[0] in SETTINGS["close"] else 1)


def _wanted(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    module = callspec.params.get("module") if callspec is not None else None
    fits = not SETTINGS["modules"] or module is None or module in SETTINGS["modules"]
    return fits and item.nodeid not in SETTINGS["skip"]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those that can meet the fault, cheapest first."""
    del config
    items[:] = sorted(filter(_wanted, items), key=lambda item: _cost(item.nodeid))


def _now() -> float:
    """Processor seconds of this process and of those that it waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


@contextmanager
def _limited(name: str) -> Iterator[None]:
    """Fail the test that runs longer than it may."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        pytest.fail("hangs: ran past its limit")

    known = SETTINGS["costs"].get(name, UNKNOWN)
    signal.signal(signal.SIGPROF, stop)
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_PROF, max(CPU_SECONDS, 20 * known))
    signal.setitimer(signal.ITIMER_REAL, max(WALL_SECONDS, 60 * known))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    """Fixtures under the limit."""
    REPORT.costs[item.nodeid] = -_now()
    with _limited(item.nodeid):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """The test under the limit."""
    with _limited(item.nodeid):
        return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what a test cost, and the first that failed."""
    if report.when == "teardown":
        REPORT.costs[report.nodeid] += _now()
    if report.failed:
        _keep(report.nodeid, str(report.longrepr))


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be collected."""
    if report.failed:
        _keep(report.nodeid, str(report.longrepr))


def _keep(name: str, text: str) -> None:
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines()[-1:]
    REPORT.failures.append(name)
    if REPORT.failed is None:
        REPORT.failed, REPORT.why = name, " ".join(lines[0].split())[:200] if lines else ""
    REPORT.write()


def pytest_sessionfinish() -> None:
    """Write what is known."""
    done = {name: cost for name, cost in REPORT.costs.items() if cost >= 0}
    REPORT.costs = {name: cost for name, cost in done.items() if name not in REPORT.failures}
    REPORT.write()
