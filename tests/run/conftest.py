"""One finished run of the tiny job, shared by the tests that look at it or compare with it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from intaglio.cli import app
from intaglio.models import MODELS
from tests.run.tiny import network, recipe


@pytest.fixture(autouse=True, scope="session")
def tiny_network():
    MODELS["tiny"] = network
    yield
    del MODELS["tiny"]


@pytest.fixture(scope="session")
def finished(tiny_network, tmp_path_factory) -> tuple[Path, Result]:
    """A finished run, which no test changes, and what its command printed."""
    path = tmp_path_factory.mktemp("tiny")
    words = ["run", str(recipe(path / "tiny.yaml")), "--out", str(path / "run"), "--json"]
    return path / "run", CliRunner().invoke(app, words)
