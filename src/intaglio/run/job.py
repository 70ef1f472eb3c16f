"""What `intaglio run` is asked to do: a YAML file that names the network, the data, the methods and the chip."""

from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from intaglio.ir.errors import RecipeError, unknown
from intaglio.methods import Recipe


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Training(_Section):
    """A run of the default training loop."""

    epochs: int = Field(default=30, ge=0)
    batch: int = Field(default=64, ge=1)
    learning_rate: float = Field(default=2e-3, gt=0)


class Hardware(_Section):
    """What the network may cost: `interval` in cycles per frame, else `area` in LUT4 equivalents, else the device."""

    device: str = "25k"
    interval: int | None = Field(default=None, ge=1)
    area: float | None = Field(default=None, gt=0)
    dsp: bool = True
    clock_mhz: float = Field(default=100.0, gt=0)


class Verification(_Section):
    """How many test images go through each check; `images` None means all of them."""

    images: int | None = Field(default=None, ge=1)
    stalled_images: int = Field(default=32, ge=1)
    cxxrtl_images: int = Field(default=16, ge=1)
    netlist_images: int = Field(default=50, ge=1)


class Job(_Section):
    """Everything that decides the outcome of a run."""

    name: str = "run"
    model: str = "digits"
    data: str = "digits"
    seed: int = 0
    train: Training = Training()
    methods: list[str | dict[str, dict[str, Any] | None]] = []
    tune: Training = Training()
    hardware: Hardware = Hardware()
    verify: Verification = Verification()


DEFAULT = Path(str(resources.files("intaglio.run") / "digits.yaml"))
"""The embedded job: UCI digits, no download."""


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a job, with the knobs of every method, for completion and checks in an editor."""
    schema = Job.model_json_schema()
    methods = Recipe.json_schema()
    schema["properties"]["methods"] = methods["anyOf"][1]
    schema["title"] = "Intaglio recipe"
    return {"$schema": methods["$schema"], **schema}


def load_job(path: Path) -> Job:
    """Read a job; RecipeError names the key, the value and what was probably meant."""
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RecipeError(f"cannot read the recipe {path}: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not YAML: {error}") from None
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no mapping; start with `model:`, `data:` and `methods:`")
    try:
        return Job(**content)
    except ValidationError as error:
        raise RecipeError(f"{path}: {_explain(error)}") from None


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    *section, key = (str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        kind: Any = Job
        for name in section:
            kind = kind.model_fields[name].annotation
        return unknown(f"unknown key in {'.'.join(section) or 'the recipe'}:", key, kind.model_fields)
    return f"{'.'.join([*section, key])} = {first['input']!r}: {first['msg']}"
