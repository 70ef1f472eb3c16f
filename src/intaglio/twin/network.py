"""A flat network that, in evaluation mode, computes what its hardware computes."""

import inspect
from typing import Any

import torch
from torch.fx import GraphModule

from intaglio.twin.flat import module_of
from intaglio.twin.form import Form, decisive, ready


class Network(GraphModule):
    """A traced network. Training runs the layers as they are written; evaluation runs the hardware's form of them.

    The form needs every weight on a grid and every input quantised; before that, and while quantisers observe,
    evaluation runs the layers, too. `settled` makes training run the form, with batch norms at their running
    statistics, so that the last steps of a training see every rounding.
    """

    def recompile(self) -> Any:
        """Generate the layers' forward pass as `plain`, and let `forward` choose between it and the form."""
        code = super().recompile()
        kind: Any = type(self)
        kind.plain, kind.forward = kind.forward, _forward
        return code

    def __deepcopy__(self, memo: dict[int, Any]) -> "Network":
        """A copy with the name of the class, which torch's does not keep."""
        made: Any = super().__deepcopy__(memo)
        type(made).__name__ = type(self).__name__
        return made

    def __copy__(self) -> "Network":
        """A network of the same modules; torch's would be no Network."""
        made = Network(self, self.graph, type(self).__name__)
        made.meta = dict(self.meta)
        return made

    @property
    def settled(self) -> bool:
        """Whether training runs the hardware's form."""
        return bool(self.meta.get("intaglio_settled", False))

    @settled.setter
    def settled(self, value: bool) -> None:
        self.meta["intaglio_settled"] = value

    def form(self) -> Form:
        """The hardware's form of the layers that are here now."""
        key = tuple((node.op, str(node.target), decisive(module_of(self, node))) for node in self.graph.nodes)
        kept = self.__dict__.get("_form")
        if kept is None or kept[0] != key:
            kept = self.__dict__["_form"] = (key, Form(self))
        return kept[1]


def _forward(self: Network, *args: Any, **kwargs: Any) -> Any:
    plain: Any = self.plain
    if (self.training and not self.settled) or not ready(self):
        return plain(*args, **kwargs)
    inputs = inspect.signature(plain).bind(*args, **kwargs).args
    dtype = next((p.dtype for p in self.parameters()), torch.float32)
    return self.form().run(*inputs, dtype=dtype)
