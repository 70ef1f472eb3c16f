"""Another shape of the same stream: no unit at all."""

from dataclasses import replace

import numpy as np

from intaglio.hardware.carving import Carving, carve_node, reads_code
from intaglio.hardware.codes import FloatCode
from intaglio.hardware.wiring import layout
from intaglio.ir.errors import DesignError
from intaglio.ir.ops import Reshape


@carve_node.register(Reshape)
def _(op: Reshape, carving: Carving, index: int) -> None:
    del op
    node, route = carving.node(index), carving.take(index)
    order = layout(node.type.shape)[2]
    if len(node.type.shape) == 1:
        order = route.order
    elif not np.array_equal(order, route.order):
        raise DesignError(
            f"{node.name}: reshaping to {node.type.shape} would reorder the stream; flatten to a vector instead"
        )
    carving.offer(index, replace(route, order=order))


@reads_code.register(Reshape)
def _(op: Reshape, code: FloatCode) -> None:
    """It is for those behind it to say."""
    del op, code
