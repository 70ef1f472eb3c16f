"""Jobs: what a recipe may say, and how a wrong one is told."""

import re
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from intaglio.datasets import DATASETS
from intaglio.ir.errors import RecipeError
from intaglio.methods import METHODS
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
    ("a: b: c", "is not YAML.*line 1"),
])  # fmt: skip
def test_a_wrong_value_is_named(tmp_path, text, words):
    assert re.search(words, told(tmp_path / "wrong.yaml", text), re.S)


def test_a_recipe_that_is_not_there(tmp_path):
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*gone\.yaml: No such file"):
        load_job(tmp_path / "gone.yaml")
    with pytest.raises(RecipeError, match=r"cannot read the recipe .*directory"):
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


def test_the_schema_accepts_what_the_reader_accepts(tmp_path):
    validator = pytest.importorskip("jsonschema").Draft202012Validator(json_schema())
    validator.check_schema(json_schema())
    good = [yaml.safe_load(DEFAULT.read_text()), yaml.safe_load(recipe(tmp_path / "r.yaml").read_text()), {}]
    good += [{"methods": ["fixed_point"]}] if not any("enum" in str(m) for m in METHODS) else []
    assert [list(validator.iter_errors(job)) for job in good] == [[] for _ in good]
    bad = [{"modle": "digits"}, {"train": {"epoch": 3}}, {"methods": [{"prun": {"sparsity": 0.5}}]}, {"seed": "x"},
           {"methods": [{"prune": {"sparsty": 0.5}}]}, {"hardware": {"interval": 0}}]  # fmt: skip
    assert all(list(validator.iter_errors(job)) for job in bad)


def test_the_schema_lists_every_section_and_every_method():
    schema = json_schema()
    assert set(schema["properties"]) == set(Job.model_fields) and schema["additionalProperties"] is False
    assert all(method.key() in str(schema["properties"]["methods"]) for method in METHODS)
