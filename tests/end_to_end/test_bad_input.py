"""Bad input: each gives one clear error that names the place, the value and the remedy.

| input                            | here                       | and in depth                                     |
|----------------------------------|----------------------------|--------------------------------------------------|
| unknown layer                    | test_unknown_layer         | tests/twin/test_lower.py: test_check_refuses|
| dynamic control flow             | test_dynamic_control_flow  |                                                  |
| NaN or infinite weights          | test_weights_not_finite    | tests/test_train.py: test_faults_are_named       |
| empty calibration data           | test_calibration_data      |                                                  |
| wrong image shape                | test_wrong_image_shape     | tests/ir/test_graph.py: test_wrong_inputs        |
| a recipe with a typo             | test_recipe_with_a_typo    | tests/run/test_job.py                            |
| an accumulator that overflows    | test_accumulator_overflow  | tests/ir/test_graph.py                           |
| a device that is too small       | test_device_too_small      | tests/hardware/test_place.py, tests/run          |
| a missing tool                   |                            | tests/run/test_pipeline.py, tests/hardware       |
| a truncated IDX file             | test_truncated_idx         | tests/test_datasets.py: test_damaged_idx         |
| kill -9 anywhere, a full disk    |                            | tests/run/test_killed.py, tests/test_measure.py  |
| a memory file removed or altered | test_memory_file           | tests/run/test_pipeline.py                       |
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from intaglio import FixedPoint, Graph, IntaglioError, Prune, Recipe, build, carve, emit, equal, lower
from intaglio.datasets import mnist
from intaglio.hardware.folding import carve_for_interval, fold_for_area, fold_for_interval
from intaglio.hardware.verify import to_beats
from intaglio.ir import ops
from intaglio.ir.errors import (
    DataError,
    DesignError,
    GraphError,
    RangeError,
    RecipeError,
    ShapeError,
    ToolError,
    UnsupportedLayer,
)
from intaglio.ir.graph import Builder
from intaglio.ir.types import Type
from intaglio.models import DigitsNet
from intaglio.trial import check

RECIPE = Recipe(FixedPoint(weight_bits=4, activation_bits=4))


def said(error: type[IntaglioError], action: Callable[[], object], *words: str) -> None:
    """`action` raises `error`, and its one-paragraph message holds all the words."""
    with pytest.raises(error) as caught:
        action()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "Traceback" not in message and message.count("\n") <= 1


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def quantised(images: Tensor) -> nn.Module:
    torch.manual_seed(0)
    return RECIPE.apply(DigitsNet(), images).eval()


@pytest.fixture(scope="module")
def graph(quantised: nn.Module, images: Tensor) -> Graph:
    return lower(quantised, images[:1])


@pytest.mark.parametrize(("layer", "place"), [
    (nn.GELU(), "1 (GELU)"), (nn.LSTM(4, 4), "1 (LSTM)"), (nn.LayerNorm(4), "1 (LayerNorm)"),
])  # fmt: skip
def test_unknown_layer(layer: nn.Module, place: str) -> None:
    network = nn.Sequential(nn.Linear(4, 4), layer)
    said(UnsupportedLayer, lambda: check(network, torch.rand(1, 4)), place, "has no integer form")


def test_nothing_but_unknown_layers() -> None:
    said(UnsupportedLayer, lambda: check(nn.Sequential(nn.GELU()), torch.rand(1, 4)), "0 (GELU)", "nn.ReLU()")
    said(RecipeError, lambda: check(nn.Sequential(nn.ReLU()), torch.rand(1, 4)), "no layer with weights", "Conv2d")


class Branch(nn.Module):
    """Takes a branch that depends on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return y if y.sum() > 0 else -y


class Repeat(Branch):
    """Repeats a layer as often as the data say."""

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x.abs().max())):
            x = self.fc(x)
        return x


@pytest.mark.parametrize("network", [Branch(), Repeat()])
def test_dynamic_control_flow(network: nn.Module) -> None:
    words = type(network).__name__, "cannot be recorded", "depends on tensor values", "make it a constant"
    said(UnsupportedLayer, lambda: check(network, torch.rand(4, 4)), *words)
    said(UnsupportedLayer, lambda: RECIPE.apply(network, torch.rand(4, 4)), *words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_not_finite(value: float, images: Tensor) -> None:
    words = "1 of 4608 values are not finite", "load a sound checkpoint"
    network = DigitsNet()
    network.conv2.weight.data[0, 0, 0, 0] = value
    for action in (lambda: check(network, images), lambda: RECIPE.apply(network, images),
                   lambda: Recipe(Prune(sparsity=0.5)).apply(network, images)):  # fmt: skip
        said(RangeError, action, "conv2.weight", *words)
    later = RECIPE.apply(DigitsNet(), images)  # a loop of the user's own may diverge afterwards
    later.get_parameter("conv2.parametrizations.weight.original").data[0, 0, 0, 0] = value
    said(RangeError, lambda: lower(later, images[:1]), "conv2", "weight", *words)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("statistic", ["running_mean", "running_var"])
def test_statistics_not_finite(statistic: str, value: float, images: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 8), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3)).eval()
    network = RECIPE.apply(network, images)
    network.get_buffer(f"1.{statistic}")[0] = value
    said(RangeError, lambda: lower(network, images[:1]), f"1.{statistic}", "1 of 2 values are not finite")


@pytest.mark.parametrize(("value", "eps"), [(-1.0, 1e-5), (0.0, 0.0)])
def test_variance_not_positive(value: float, eps: float, images: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 8), nn.BatchNorm2d(2, eps=eps), nn.Flatten()).eval()
    network[1].running_var[1] = value
    words = "1.running_var", f"lowest {value:g}", "sound checkpoint"
    said(RangeError, lambda: check(network, images), *words)
    said(RangeError, lambda: RECIPE.apply(network, images), *words)


def test_layers_without_weights(images: Tensor) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 0), nn.ReLU(), nn.Linear(0, 3))
    said(RangeError, lambda: check(network, images), "1 (Linear)", "has no weights", "leave it out")


@pytest.mark.parametrize("empty", [torch.rand(0, 1, 8, 8), [], [torch.rand(0, 1, 8, 8)]])
def test_calibration_data(empty: Tensor | list[Tensor], images: Tensor) -> None:
    said(DataError, lambda: RECIPE.apply(DigitsNet(), empty), "calibration data are empty", "at least one sample")
    said(DataError, lambda: RECIPE.apply(DigitsNet(), images / 0), "NaN or infinity", "clean them")
    said(DataError, lambda: check(DigitsNet(), images / 0), "NaN or infinity", "clean it")


DATASET = torch.utils.data.TensorDataset(torch.rand(4, 1, 8, 8), torch.zeros(4))
STRANGE: list[Any] = [None, 3, "images", 1.5, torch.tensor(1.0), np.zeros((4, 1, 8, 8)), [np.zeros((4, 1, 8, 8))], [[]],
                      {"x": torch.rand(4, 1, 8, 8)}, [{"x": torch.rand(4, 1, 8, 8)}],
                      torch.rand(4, 1, 8, 8).to_sparse(), torch.rand(4, 1, 8, 8, device="meta"), DATASET]  # fmt: skip


@pytest.mark.parametrize("data", STRANGE, ids=lambda data: type(data).__name__)
def test_what_is_no_tensor_of_samples(data: Any, quantised: nn.Module, graph: Graph) -> None:
    said(DataError, lambda: RECIPE.apply(DigitsNet(), data), "calibration data hold a", "tensor (samples, ...)")
    for action in (lambda: check(DigitsNet(), data), lambda: lower(quantised, data),
                   lambda: equal(quantised, graph, data)):  # fmt: skip
        said(ShapeError, action, "the example")


def test_inputs_with_gradients(images: Tensor) -> None:
    x = images.clone().requires_grad_()
    check(DigitsNet(), x)
    small = RECIPE.apply(DigitsNet(), x)
    assert equal(small, lower(small, x), x) == 0 and x.grad is None


def test_a_graph_of_another_network(quantised: nn.Module, graph: Graph, images: Tensor) -> None:
    wide = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3))
    other = RECIPE.apply(wide, images)
    said(ShapeError, lambda: equal(other, graph, images), "the Graph gives 10 values", "(3,)")
    large = RECIPE.apply(nn.Sequential(nn.Flatten(), nn.Linear(100, 10)), torch.rand(4, 1, 10, 10))
    said(ShapeError, lambda: equal(large, graph, torch.rand(4, 1, 10, 10)), "the Graph takes 64 values", "(1, 10, 10)")


def test_wrong_image_shape(quantised: nn.Module, graph: Graph, images: Tensor, tmp_path: Path) -> None:
    colour = torch.rand(2, 3, 8, 8)
    said(ShapeError, lambda: check(DigitsNet(), colour), "conv1", "(2, 3, 8, 8)", "compare the example")
    said(ShapeError, lambda: check(DigitsNet(), torch.rand(1, 1, 12, 12)), "fc", "(2, 288)")
    said(ShapeError, lambda: RECIPE.apply(DigitsNet(), colour), "conv1", "(2, 3, 8, 8)")
    said(ShapeError, lambda: lower(quantised, colour), "conv1", "(2, 3, 8, 8)")
    said(ShapeError, lambda: equal(quantised, graph, colour), "conv1", "(2, 3, 8, 8)")
    said(ShapeError, lambda: graph(np.zeros((2, 1, 9, 9), int)), "(2, 1, 9, 9)", "expected (batch, 1, 8, 8)")
    said(DataError, lambda: graph(np.full((2, 1, 8, 8), 999)), "999", "outside 0..255", "quantise it")
    design = carve(graph)
    wrong = np.zeros((2, 1, 9, 9), int)
    said(ShapeError, lambda: to_beats(design, wrong), "(1, 9, 9)", "takes inputs of shape (1, 8, 8)")


@pytest.mark.parametrize(("text", "words"), [
    ("- prun: {sparsity: 0.4}", ("method 'prun'", "did you mean 'prune'?")),
    ("- prune: {sparsty: 0.4}", ("prune", "'sparsty'", "did you mean 'sparsity'?")),
    ("- prune: {sparsity: 1.4}", ("prune", "sparsity = 1.4", "less than")),
    ("- fixed_point: {weight_bits: 40}", ("fixed_point", "weight_bits = 40", "less than or equal to 16")),
    ("method: []", ("'method'", "did you mean 'methods'?")),
    ("- {", ("not YAML",)),
])  # fmt: skip
def test_recipe_with_a_typo(text: str, words: tuple[str, ...]) -> None:
    with pytest.raises(RecipeError) as caught:
        Recipe.from_yaml(text)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_selector_with_a_typo(images: Tensor) -> None:
    recipe = Recipe(FixedPoint(select="cnov1"))
    said(RecipeError, lambda: recipe.apply(DigitsNet(), images), "'cnov1'", "did you mean 'conv1'?")


def test_accumulator_overflow() -> None:
    builder = Builder()
    wire = builder.add("x", ops.Input(Type((4,), (0, 2**40 - 1))))
    wide = ops.MatMul(np.full((2, 4), 2**30))
    said(RangeError, lambda: builder.add("fc", wide, wire), "fc", "72 bits", "more than 62", "use fewer bits")


def test_device_too_small(graph: Graph) -> None:
    smallest = fold_for_interval(graph, 10**9).area
    words = f"needs about {int(np.ceil(smallest))}", f"{int(np.ceil(smallest - 200))} more than the budget of 200"
    said(DesignError, lambda: fold_for_area(graph, 200), *words, "take a larger device")
    assert fold_for_area(graph, smallest).area <= smallest  # and that much does fit
    said(DesignError, lambda: carve_for_interval(graph, 2), "cannot run in 2 cycles", "its fastest folding takes")


def test_truncated_idx(tmp_path: Path) -> None:
    for part, count in (("train", 24), ("t10k", 10)):
        images = struct.pack(">4B3I", 0, 0, 8, 3, count, 28, 28) + bytes(count * 784)
        labels = struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(count)
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(images)
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    assert len(mnist(tmp_path).test) == 10
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-500])
    said(DataError, lambda: mnist(tmp_path), path.name, "expected 7856 bytes", "found 7356", "fetch the file again")
    path.unlink()
    said(DataError, lambda: mnist(tmp_path), path.name, "cannot be read", "INTAGLIO_DATA")


@pytest.mark.parametrize("kept", [0, 16, 300, -40])
def test_truncated_graph(graph: Graph, kept: int) -> None:
    with pytest.raises(GraphError):
        Graph.parse(graph.text()[:kept])


@pytest.mark.parametrize("backend", ["verilator", "cxxrtl"])
def test_memory_file(backend: str, graph: Graph, tmp_path: Path) -> None:
    rtl = emit(carve(graph), tmp_path)
    memory = rtl.memories[0]
    memory.write_text(memory.read_text().replace("0", "1"))
    said(ToolError, lambda: build(rtl, backend), memory.name, "was altered", "emit()")
    memory.unlink()
    said(ToolError, lambda: build(rtl, backend), memory.name, "is missing", "emit()")
