"""What the steps of a run share: the job, the folder, and everything that can be rebuilt from them."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from intaglio.datasets import DATASETS, Dataset
from intaglio.hardware.design import Design, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.folding import carve_for_interval, fold_for_area
from intaglio.hardware.rtl import Rtl
from intaglio.ir.errors import RecipeError
from intaglio.ir.graph import Graph
from intaglio.measure import RunFolder
from intaglio.methods import Recipe
from intaglio.methods.method import unknown
from intaglio.models import MODELS
from intaglio.run.job import Job

CALIBRATION = 1024  # training images used for calibration
DEFAULT_INTERVAL = 4096  # cycles per frame when the job names neither an interval nor an area


@dataclass
class State:
    """Objects of a run, made on demand from the files of finished steps, so that any step can be the first one."""

    job: Job
    folder: RunFolder
    progress: bool = False

    @cached_property
    def data(self) -> Dataset:
        """The data set that the job names."""
        if self.job.data not in DATASETS:
            raise RecipeError(unknown("recipe: unknown data set", self.job.data, DATASETS))
        return DATASETS[self.job.data]()

    @cached_property
    def recipe(self) -> Recipe:
        """The methods of the job."""
        return Recipe.parse(self.job.methods)

    def fresh_model(self) -> nn.Module:
        """The untrained network, initialised from the job's seed."""
        if self.job.model not in MODELS:
            raise RecipeError(unknown("recipe: unknown model", self.job.model, MODELS))
        torch.manual_seed(self.job.seed)
        return MODELS[self.job.model]()

    @cached_property
    def calibration(self) -> Tensor:
        """Training inputs for calibration."""
        return self.data.train.x[:CALIBRATION]

    @property
    def float_file(self) -> Path:
        """Weights of the float network."""
        return self.folder.path / "float.safetensors"

    @cached_property
    def float_model(self) -> nn.Module:
        """The trained float network."""
        model = self.fresh_model()
        model.load_state_dict(load_file(self.float_file))
        return model.eval()

    @cached_property
    def model(self) -> nn.Module:
        """The approximated, tuned network."""
        model = self.recipe.apply(self.float_model, self.calibration)
        model.load_state_dict(load_file(self.folder.model))
        return model.eval()

    @cached_property
    def graph(self) -> Graph:
        """The integer network."""
        return Graph.parse(self.folder.graph.read_text())

    @cached_property
    def test_integers(self) -> np.ndarray:
        """The test images as the Graph takes them."""
        kind = self.graph.input_types[0]
        return kind.quantize(self.data.test.x[: self.job.verify.images].double().numpy().reshape(-1, *kind.shape))

    @cached_property
    def design(self) -> Design:
        """The hardware, folded as the job asks."""
        hardware = self.job.hardware
        if hardware.interval is None and hardware.area is not None:
            return carve(self.graph, fold_for_area(self.graph, hardware.area).folding, hardware.dsp)
        return carve_for_interval(self.graph, hardware.interval or DEFAULT_INTERVAL, hardware.dsp)

    @cached_property
    def rtl(self) -> Rtl:
        """The emitted files; emitting again writes the same content."""
        return emit(self.design, self.folder.rtl)
