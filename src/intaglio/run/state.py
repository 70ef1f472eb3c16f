"""What the steps of a run share: the job, the folder, and everything that can be rebuilt from them."""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Event, Thread

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from intaglio.datasets import DATASETS, Dataset
from intaglio.hardware.design import Design, Forced, carve
from intaglio.hardware.emit import emit
from intaglio.hardware.folding import carve_for_interval, fold_for_area
from intaglio.hardware.place import Placement, device, family, place
from intaglio.hardware.processes import until
from intaglio.hardware.rtl import Rtl
from intaglio.hardware.synthesize import Synthesis, synthesize
from intaglio.ir.errors import IntaglioError, RecipeError, unknown
from intaglio.ir.graph import Graph
from intaglio.measure import RunFolder
from intaglio.models import MODELS
from intaglio.reading import read_text
from intaglio.recipe import Recipe
from intaglio.run.job import Job
from intaglio.run.progress import counted

CALIBRATION = 1024  # training images used for calibration
DEVICE_SHARE = 0.6  # of a device's look-up tables, when the job names neither an interval nor an area


@dataclass
class State:
    """Objects of a run, made on demand from the files of finished steps, so that any step can be the first one."""

    job: Job
    folder: RunFolder
    progress: bool = False
    keys: Mapping[str, str] = field(default_factory=dict[str, str])
    _stop: Event = field(default_factory=Event, init=False)
    _threads: list[Thread] = field(default_factory=list[Thread], init=False)

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

    def checkpoint(self, step: str) -> Path:
        """Where the training of `step` keeps its state; what another recipe or other code left there is removed."""
        home = self.folder.checkpoints
        wanted = home / f"{step}-{self.keys.get(step, '')[:16]}"
        for old in home.glob(f"{step}-*"):
            if old != wanted:
                shutil.rmtree(old)
        return wanted

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
        return Graph.parse(read_text(self.folder.graph))

    @cached_property
    def test_integers(self) -> np.ndarray:
        """The test images as the Graph takes them."""
        kind = self.graph.input_types[0]
        return kind.quantize(self.data.test.x[: self.job.verify.images].double().numpy().reshape(-1, *kind.shape))

    @cached_property
    def design(self) -> Design:
        """The hardware, folded for the interval, the area, or else the device that the job names."""
        hardware = self.job.hardware
        forced = {name: Forced(**parts.model_dump()) for name, parts in hardware.plans.items()}
        with counted("sizing FIFOs", self.progress) as progress:
            if hardware.interval is not None:
                return carve_for_interval(self.graph, hardware.interval, hardware.dsp, progress, forced)
            area = hardware.area or DEVICE_SHARE * device(hardware.device).comb
            folding = fold_for_area(self.graph, area, hardware.dsp, forced).folding
            return carve(self.graph, folding, hardware.dsp, progress=progress, forced=forced)

    @cached_property
    def rtl(self) -> Rtl:
        """The emitted files; emitting again writes the same content."""
        return emit(self.design, self.folder.rtl)

    def synthesis(self) -> Synthesis:
        """What Yosys makes of the design for the device; from the cache when it was made before."""
        return synthesize(self.rtl, family(self.job.hardware.device).name, dsp=self.job.hardware.dsp)

    def placement(self) -> Placement:
        """Where nextpnr puts it; from the cache when it was made before."""
        return place(self.synthesis(), self.job.hardware.device, frequency=self.job.hardware.clock_mhz)

    def work_ahead(self) -> None:
        """Synthesise and place in the background: the steps that need the results wait for them, or meet the error."""
        _ = self.rtl  # emitted once, before two threads ask for it

        def ahead() -> None:
            with suppress(IntaglioError), until(self._stop):
                self.placement()

        self._threads.append(Thread(target=ahead, daemon=True))
        self._threads[-1].start()

    def close(self) -> None:
        """End what still works ahead, with its tools, and wait until it has cleaned up."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
