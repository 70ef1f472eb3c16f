"""What `intaglio run` is asked to do: a YAML file that names the network, the data, the methods and the chip."""

from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from intaglio.ir.errors import RecipeError, shown, unknown
from intaglio.reading import parse_yaml, read_text
from intaglio.recipe import Recipe

LONGEST_NAME = 100
"""Bytes of a job's name in UTF-8: a folder's name has at most 255 of them."""

_MOST = 2**31 - 1
"""The largest count: PyTorch takes batches up to this."""


def folder_name(name: str) -> str:
    """A name that is one folder in the folder it is put into, on every system; ValueError when it is not."""
    wrong = sorted({c for c in name if not c.isprintable() or c in '/\\:*?"<>|'})
    if wrong:
        raise ValueError(f"it becomes a folder, which cannot hold {''.join(wrong)!r}: use letters, digits, - and _")
    if not 0 < len(name.encode()) <= LONGEST_NAME or name != name.strip(" ") or name != name.strip("."):
        raise ValueError(
            f"it becomes a folder: 1 to {LONGEST_NAME} bytes, no dot and no space at its beginning or end"
        )
    return name


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Training(_Section):
    """A run of the default training loop."""

    epochs: int = Field(default=30, ge=0, le=_MOST)
    batch: int = Field(default=64, ge=1, le=_MOST)
    learning_rate: float = Field(default=2e-3, gt=0)


class PlanParts(_Section):
    """Parts of a layer's plan that are given instead of chosen, by name; see `hardware.plan`."""

    schedule: str = ""
    supply: str = ""
    product: str = ""


class Hardware(_Section):
    """What the network may cost: `interval` in cycles per frame, else `area` in LUT4 equivalents, else the device.

    `plans` forces parts of the plans of layers, by the layer's name in the Graph.
    """

    device: str = "25k"
    interval: int | None = Field(default=None, ge=1, le=2**62)
    area: float | None = Field(default=None, gt=0)
    dsp: bool = True
    clock_mhz: float = Field(default=100.0, gt=0)
    plans: dict[str, PlanParts] = {}

    @property
    def target(self) -> tuple[str, float | str]:
        """The one of the three that decides the folding, and its value."""
        if self.interval is not None:
            return "interval", self.interval
        return ("area", self.area) if self.area is not None else ("device", self.device)


class Verification(_Section):
    """How many test images go through each check; `images` None means all of them."""

    images: int | None = Field(default=None, ge=1, le=_MOST)
    stalled_images: int = Field(default=32, ge=1, le=_MOST)
    cxxrtl_images: int = Field(default=16, ge=1, le=_MOST)
    netlist_images: int = Field(default=50, ge=1, le=_MOST)


class Job(_Section):
    """Everything that decides the outcome of a run."""

    name: Annotated[str, AfterValidator(folder_name)] = "run"
    model: str = "digits"
    data: str = "digits"
    seed: int = Field(default=0, ge=-(2**63), lt=2**63)
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
    text = read_text(path, RecipeError, "give the path of a recipe")
    content = parse_yaml(text, str(path), RecipeError)
    if not isinstance(content, dict):
        raise RecipeError(f"{path} holds no mapping; start with `model:`, `data:` and `methods:`")
    try:
        return Job(**{str(key): value for key, value in content.items()})
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
    return f"{'.'.join([*section, key])} = {shown(first['input'])}: {first['msg'].removeprefix('Value error, ')}"
