"""A recipe: methods in order, as Python or YAML."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml
from torch import nn

from intaglio.ir.errors import RecipeError, shown, unknown
from intaglio.methods import METHODS
from intaglio.reading import parse_yaml
from intaglio.trial import checked
from intaglio.twin.layers import Batches, all_in_precision_of, by_input, inputs
from intaglio.twin.method import Method
from intaglio.twin.record import input_names

SAMPLES = 8
"""Calibration samples on which a network is checked before it is approximated."""


class Recipe:
    """Methods applied from left to right to a copy of a network.

    After each method every earlier one checks that its structure survived; `allow_loss` turns that off.
    """

    def __init__(self, *methods: Method, allow_loss: bool = False) -> None:
        wrong = [method for method in methods if not isinstance(method, Method)]
        if wrong:
            raise RecipeError(f"{wrong[0]!r} is not a method; write for example Recipe(Prune(sparsity=0.9))")
        self.methods = tuple(methods)
        self.allow_loss = allow_loss

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """The approximated network; `model` is not changed. `data` are inputs for calibration: a tensor, a
        tuple of one for each argument, or batches, perhaps with labels.

        What could not become hardware is refused before anything is changed (see `intaglio.check`).

        Raises:
            StructureError: a method destroyed what an earlier one made; DataError: no data; RangeError: a
            weight is not finite; RecipeError: a selector picks nothing; UnsupportedLayer: the network
            cannot be recorded.
        """
        data = data if not isinstance(data, Iterable) else list(data) if not hasattr(data, "shape") else data
        data = by_input(data, input_names(model))
        model = checked(model, inputs(data, SAMPLES)[0])
        data = all_in_precision_of(model, data)
        for number, method in enumerate(self.methods):
            model = method.apply(model, data)
            if not self.allow_loss:
                for earlier in self.methods[: number + 1]:
                    earlier.verify(model)
        return model

    def verify(self, model: nn.Module) -> None:
        """Check that the structure of every method is in `model`, for example after training."""
        for method in self.methods:
            method.verify(model)

    @classmethod
    def parse(cls, entries: Any) -> "Recipe":
        """From plain data: a list of names, or of mappings with one name and its knobs."""
        if isinstance(entries, Mapping):
            for key in entries:
                if key not in ("methods", "allow_loss"):
                    raise RecipeError(unknown("recipe: unknown key", str(key), ("methods", "allow_loss")))
            allowed = entries.get("allow_loss", False)
            if not isinstance(allowed, bool):
                raise RecipeError(f"recipe: allow_loss = {shown(allowed)}: write true or false")
            return cls(*_methods(entries.get("methods", [])), allow_loss=allowed)
        return cls(*_methods(entries))

    @classmethod
    def from_yaml(cls, text: str) -> "Recipe":
        """From YAML text; RecipeError names an unknown key and the nearest known one."""
        entries = parse_yaml(text, "recipe", RecipeError)
        return cls.parse(entries if entries is not None else [])

    def entries(self) -> list[dict[str, Any]]:
        """Plain data that `parse` reads back: all knobs that were set."""
        return [{method.key(): method.model_dump(mode="json", exclude_unset=True)} for method in self.methods]

    def to_yaml(self) -> str:
        """YAML that `from_yaml` reads back."""
        head: dict[str, Any] = {"allow_loss": True} if self.allow_loss else {}
        return yaml.safe_dump({**head, "methods": self.entries()}, sort_keys=False)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """The JSON Schema of the YAML form, for completion in editors."""
        entries = []
        for method in METHODS:
            knobs = json.loads(json.dumps(method.model_json_schema()))
            required = bool(knobs.get("required"))
            entry = {
                "type": "object",
                "properties": {method.key(): knobs},
                "required": [method.key()],
                "additionalProperties": False,
            }
            entries.append(entry if required else {"anyOf": [entry, {"const": method.key()}]})
        methods = {"type": "array", "items": {"anyOf": entries}}
        full = {
            "type": "object",
            "properties": {"methods": methods, "allow_loss": {"type": "boolean"}},
            "additionalProperties": False,
        }
        return {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Intaglio recipe",
            "anyOf": [full, methods],
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Recipe) and (self.methods, self.allow_loss) == (
            other.methods,
            other.allow_loss,
        )

    def __hash__(self) -> int:
        return hash((self.methods, self.allow_loss))

    def __repr__(self) -> str:
        return f"Recipe({', '.join(map(repr, self.methods))})"


def _methods(entries: Any) -> list[Method]:
    """Methods from a list of plain entries."""
    if not isinstance(entries, list):
        raise RecipeError(f"recipe: expected a list of methods, got {shown(entries)}")
    kinds = {method.key(): method for method in METHODS}
    made: list[Method] = []
    for entry in entries:
        if isinstance(entry, str):
            entry = {entry: {}}
        if not isinstance(entry, Mapping) or len(entry) != 1:
            raise RecipeError(
                f"recipe: {shown(entry)} is not one method with its knobs, such as 'prune: {{sparsity: 0.9}}'"
            )
        ((name, knobs),) = entry.items()
        if name not in kinds:
            raise RecipeError(unknown("recipe: unknown method", str(name), kinds))
        if not isinstance(knobs or {}, Mapping):
            raise RecipeError(f"{name}: expected knobs, got {shown(knobs)}")
        made.append(kinds[name](**{str(key): value for key, value in (knobs or {}).items()}))
    return made
