"""What number formats of weights share: each ends the weight's stack with its own grid."""

from abc import abstractmethod

from torch import Tensor, nn

from intaglio.ir.errors import StructureError
from intaglio.twin.layers import Batches, weighted_layers
from intaglio.twin.method import Method
from intaglio.twin.quantise import quantised
from intaglio.twin.quantizers import WeightGrid
from intaglio.twin.stack import before_grid, grid_of, put_last


class Format(Method):
    """A number format of weights.

    A network without quantisers is first made fixed point (8 bits for weights, activations and the input), so
    that the layers that are not selected have a format too. Put a FixedPoint before it to choose other widths.
    """

    @abstractmethod
    def weight_grid(self, weight: Tensor, name: str) -> WeightGrid:
        """The grid for one layer, from the weight (output channels first) that it will quantise.

        Raises:
            RangeError: the format cannot hold this weight; the message names the layer.
        """

    def apply(self, model: nn.Module, data: Batches) -> nn.Module:
        """End the stack of every selected layer with this format."""
        gm = quantised(model, data)
        for name, layer in weighted_layers(gm, self.select):
            put_last(layer, self.weight_grid(before_grid(layer), name).to(before_grid(layer).device))
        return gm

    def verify(self, model: nn.Module) -> None:
        """Every selected layer still ends with a number format (this one, or a later one that won)."""
        for name, layer in weighted_layers(model, self.select):
            if grid_of(layer) is None:
                raise StructureError(f"{name}: the number format is no longer the last step of its weight")
