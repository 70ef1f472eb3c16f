"""Jobs: what a recipe may say, and how a wrong one is told."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from intaglio.datasets import DATASETS
from intaglio.ir.errors import RecipeError
from intaglio.methods import METHODS, Recipe
from intaglio.models import MODELS
from intaglio.run.job import DEFAULT, Job, json_schema, load_job
from tests.run.tiny import recipe


def told(path: Path, text: str) -> str:
    """What `load_job` says about a recipe."""
    path.write_text(text)
    with pytest.raises(RecipeError) as caught:
        load_job(path)
    return str(caught.value)


@pytest.mark.parametrize(("text", "key", "nearest"), [
    ("modle: digits", "modle", "model"),
    ("trian: {epochs: 3}", "trian", "train"),
    ("train: {epoch: 3}", "epoch", "epochs"),
    ("tune: {learning_rat: 0.1}", "learning_rat", "learning_rate"),
    ("hardware: {devise: 25k}", "devise", "device"),
    ("verify: {stalled_image: 3}", "stalled_image", "stalled_images"),
])  # fmt: skip
def test_a_typo_names_the_key_the_section_and_the_nearest(tmp_path, text, key, nearest):
    said = told(tmp_path / "wrong.yaml", text)
    assert f"'{key}'" in said and f"did you mean '{nearest}'?" in said and "wrong.yaml" in said
    section = text.partition(":")[0]
    assert section == key or f"in {section}:" in said


@pytest.mark.parametrize(("text", "words"), [
    ("train: {epochs: many}", "train.epochs = 'many'"),
    ("train: {epochs: -1}", "train.epochs = -1: .*greater than or equal to 0"),
    ("train: {learning_rate: 0}", "train.learning_rate = 0: .*greater than 0"),
    ("hardware: {interval: 0}", "hardware.interval = 0"),
    ("verify: {images: 0}", "verify.images = 0"),
    ("methods: prune", "methods = 'prune'.*list"),
    ("seed: [1]", r"seed = \[1\]"),
    ("- prune", "holds no mapping"),
    ("", "holds no mapping"),
    ("a: b: c", "not YAML.*line 1"),
])  # fmt: skip
def test_a_wrong_value_is_named(tmp_path, text, words):
    assert re.search(words, told(tmp_path / "wrong.yaml", text), re.S)


def test_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"gone\.yaml: cannot be read \(No such file.*give the path of a recipe"):
        load_job(tmp_path / "gone.yaml")
    with pytest.raises(RecipeError, match=r"cannot be read .*directory"):
        load_job(tmp_path)


def test_the_embedded_job_loads_and_round_trips(tmp_path):
    job = load_job(DEFAULT)
    assert job.name == "digits" and job.model in MODELS and job.data in DATASETS and job.methods
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(job.model_dump(), sort_keys=False))
    assert load_job(again) == job


def test_a_job_cannot_be_changed():
    with pytest.raises(ValidationError):
        Job().seed = 1


TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool,
         "null": type(None)}  # fmt: skip


def valid(value: object, schema: dict, root: dict) -> bool:
    """As much of JSON Schema as ours uses."""
    if "$ref" in schema:
        target = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        return valid(value, target, root)
    if "type" in schema and (
        not isinstance(value, TYPES[schema["type"]]) or isinstance(value, bool) != (schema["type"] == "boolean")
    ):
        return False
    rules = {
        "anyOf": lambda kinds: any(valid(value, kind, root) for kind in kinds),
        "const": lambda only: value == only,
        "enum": lambda some: value in some,
        "minimum": lambda low: value >= low,
        "maximum": lambda high: value <= high,
        "exclusiveMinimum": lambda low: value > low,
        "exclusiveMaximum": lambda high: value < high,
        "required": lambda keys: set(keys) <= set(value),
        "items": lambda kind: all(valid(item, kind, root) for item in value),
        "properties": lambda kinds: all(valid(value[k], kinds[k], root) for k in kinds if k in value),
        "additionalProperties": lambda more: more or set(value) <= set(schema["properties"]),
    }
    return all(rule(schema[key]) for key, rule in rules.items() if key in schema)


def test_the_schema_accepts_what_the_reader_accepts(tmp_path):
    schema = json_schema()
    good = [yaml.safe_load(DEFAULT.read_text()), yaml.safe_load(recipe(tmp_path / "r.yaml").read_text()), {},
            {"methods": ["fixed_point"]}]  # fmt: skip
    bad = [{"modle": "digits"}, {"train": {"epoch": 3}}, {"methods": [{"prun": {"sparsity": 0.5}}]}, {"seed": "x"},
           {"methods": [{"prune": {"sparsty": 0.5}}]}, {"hardware": {"interval": 0}}, {"methods": ["prune"]},
           {"methods": [{"fixed_point": {"weight_bits": 40}}]}, {"train": {"epochs": 1.5}}]  # fmt: skip
    assert [valid(job, schema, schema) for job in good] == [True] * len(good)
    assert [valid(job, schema, schema) for job in bad] == [False] * len(bad)
    for number, job in enumerate([*good, *bad]):
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(job))
        with nullcontext() if number < len(good) else pytest.raises(RecipeError):
            Recipe.parse(load_job(path).methods)


def test_the_schema_lists_every_section_and_every_method():
    schema = json_schema()
    assert set(schema["properties"]) == set(Job.model_fields) and schema["additionalProperties"] is False
    assert all(method.key() in str(schema["properties"]["methods"]) for method in METHODS)


NAMES = ["", ".", "..", "../../x", "a/b", "/absolute/path", "a\\b", "a\nb", "a\0b", "a\u2028b", "\x7f", "x" * 300,
         "ü" * 60, " ", " a", "a ", ".hidden", "a.", "C:x", "a\u202eb"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_no_folder(tmp_path, name):
    """The name becomes a folder below `runs`: it must not lead out of it."""
    assert "becomes a folder" in told(tmp_path / "recipe.yaml", yaml.safe_dump({"name": name}))


@pytest.mark.parametrize("name", ["run", "größe 2", "a.b-c_d", "x" * 100, "日本"])
def test_a_name_that_is_a_folder(tmp_path, name):
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump({"name": name}), encoding="utf-8")
    assert load_job(tmp_path / "recipe.yaml").name == name


@pytest.mark.parametrize(("text", "words"), [
    ("seed: 1000000000000000000000000", "seed = .*less than"), ("train: {batch: 99999999999}", "train.batch"),
    ("hardware: {clock_mhz: .inf}", "hardware.clock_mhz = inf: .*finite"),
    ("train: {learning_rate: .nan}", "learning_rate"),
    ("methods: [{prune: {sparsity: .nan}}]", None), ("model: 0x" + "f" * 9000, "the integer of line 1 has 9002 digits"),
    ("train: &t {epochs: 1}\ntune: *t\nseed: [*t, *t]", "seed"),
])  # fmt: skip
def test_numbers_beyond_reason(tmp_path, text, words):
    if words is not None:
        assert re.search(words, told(tmp_path / "recipe.yaml", text), re.S)
        return
    (tmp_path / "recipe.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(RecipeError, match="prune: sparsity = nan"):
        Recipe.parse(load_job(tmp_path / "recipe.yaml").methods)
