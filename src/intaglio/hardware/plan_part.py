"""What schedules, supplies and products share: a plan has one of each, chosen or forced by name."""

from abc import ABC
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeVar

from intaglio.errors import DesignError, unknown


class PlanPart(ABC):
    """One of several ways; `needs` says what it needs of a layer, for people."""

    name: ClassVar[str]
    needs: ClassVar[str]


Kind = TypeVar("Kind", bound=PlanPart)
Made = TypeVar("Made", bound=PlanPart)


def offers(
    layer: str, what: str, kinds: Sequence[type[Kind]], name: str, make: Callable[[type[Kind]], Made | None]
) -> list[Made]:
    """What the kinds make of a layer's weights, or what the named one does; at least one.

    Raises DesignError when the named one is unknown, or needs what the layer lacks.
    """
    by_name = {kind.name: kind for kind in kinds}
    if name and name not in by_name:
        raise DesignError(f"{layer}: {unknown(f'unknown {what}', name, by_name)}")
    made = [make(kind) for kind in ([by_name[name]] if name else kinds)]
    found = [one for one in made if one is not None]
    if not found:
        needs = " or ".join(by_name[n].needs for n in ([name] if name else by_name))
        raise DesignError(
            f"{layer}: the {what} {name!r} does not fit: it needs {needs}; leave it out, and one that fits is chosen"
        )
    return found
