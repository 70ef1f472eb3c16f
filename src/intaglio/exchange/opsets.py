"""Whether a node is what its operator set says, by ONNX's own definitions: a reader that guesses reads another network.

Clip has its bounds as attributes up to opset 10 and as inputs from 11 on; taken the wrong way, they are ignored.
"""

from collections.abc import Iterable, Mapping
from typing import Any, cast

import onnx
from onnx import AttributeProto, defs

from intaglio.exchange.file import QONNX, STANDARD, FileNode
from intaglio.ir.errors import GraphError, UnsupportedLayer

OLDEST, NEWEST = 7, 25
"""Opsets that are read. Before 7 arithmetic broadcasts by attributes; what comes after 25 may mean anything."""

NEWEST_QONNX = 2

_KINDS: Mapping[str, Mapping[str, Any]] = {
    "Quant": {"signed": AttributeProto.INT, "narrow": AttributeProto.INT, "rounding_mode": AttributeProto.STRING},
    "Trunc": {"signed": AttributeProto.INT, "narrow": AttributeProto.INT, "rounding_mode": AttributeProto.STRING},
    "MultiThreshold": {
        "out_scale": AttributeProto.FLOAT, "out_bias": AttributeProto.FLOAT, "data_layout": AttributeProto.STRING
    },
    "QuantAvgPool2d": {
        **dict.fromkeys(("stride", "kernel", "ibits", "obits", "signed"), AttributeProto.INT),
        "data_layout": AttributeProto.STRING,
    },
}  # fmt: skip
"""Types of the attributes of QONNX operators that are read."""


def versions(entries: Iterable[onnx.OperatorSetIdProto]) -> dict[str, int]:
    """The version of every operator set of a file; errors where one is unknown, or told twice."""
    found: dict[str, int] = {}
    for entry in entries:
        domain = "" if entry.domain in STANDARD else entry.domain
        if found.setdefault(domain, entry.version) != entry.version:
            both = f"{found[domain]} and {entry.version}"
            raise GraphError(f"operator set {domain!r} has versions {both}: export it again")
    standard, qonnx = found.get("", NEWEST), [found.get(domain, 1) for domain in QONNX]
    if not OLDEST <= standard <= NEWEST:
        raise UnsupportedLayer(f"opset {standard} is not read: export with an opset from {OLDEST} to {NEWEST}")
    if not all(1 <= version <= NEWEST_QONNX for version in qonnx):
        raise UnsupportedLayer(f"QONNX operators of version {max(qonnx)} are not read: only 1 to {NEWEST_QONNX} are")
    return found


def check(node: FileNode, opsets: Mapping[str, int]) -> None:
    """Raise GraphError unless inputs, outputs, attributes and their types are those of the node's operator set."""
    if node.domain not in STANDARD:
        _check_kinds(node, _KINDS.get("Quant" if node.op == "IntQuant" else node.op, {}))
        return
    if "" not in opsets:
        raise GraphError("the file says no version of the standard operators: export it again")
    try:
        schema = defs.get_schema(node.op, opsets[""], "")
    except defs.SchemaError:
        raise UnsupportedLayer(f"opset {opsets['']} has no such operator: export it again") from None
    for names, what, does, least, most in (
        (node.inputs, "inputs", "takes", schema.min_input, schema.max_input),
        (node.outputs, "outputs", "makes", schema.min_output, schema.max_output),
    ):
        if not least <= len(names) <= most:
            raise GraphError(f"has {len(names)} {what}; of opset {opsets['']} it {does} {least} to {most}")
    attributes = cast("Mapping[str, Any]", schema.attributes)
    unknown = sorted(set(node.attributes) - set(attributes))
    if unknown:
        raise GraphError(f"attribute {unknown[0]!r} is not one of opset {opsets['']}: export with another opset")
    missing = [name for name, known in attributes.items() if known.required and name not in node.attributes]
    if missing:
        raise GraphError(f"its attribute {missing[0]!r} is missing: export it again")
    _check_kinds(node, {name: known.type.value for name, known in attributes.items()})


def _check_kinds(node: FileNode, kinds: Mapping[str, Any]) -> None:
    for name, kind in node.kinds.items():
        if name in kinds and kind != kinds[name]:
            wanted, found = (AttributeProto.AttributeType.Name(value).lower() for value in (kinds[name], kind))
            raise GraphError(f"attribute {name!r} is of type {found}, not {wanted}: export it again")
