"""The forward pass of a network as a torch.fx graph that means what eager execution means.

torch.fx alone takes `x += y` for `x = x + y`, the default of an argument for a second input, every subclass of a
layer for that layer, and names of modules for code. Here each of these is what torch computes, or refused.
"""

import inspect
import keyword
import operator
import re
from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.nn.utils import parametrize

from intaglio.ir.errors import IntaglioError, UnsupportedLayer
from intaglio.twin.layers import evaluating
from intaglio.twin.network import Network
from intaglio.twin.prepare import inside
from intaglio.twin.rules import lower
from intaglio.twin.source import SourceTracer, line_of

_ROOT = "network"
_BARE = "layer"
_CONTAINERS = (nn.Module, nn.Sequential, nn.ModuleList, nn.ModuleDict)
_HARMLESS = {
    "__init__", "__module__", "__doc__", "__qualname__", "__annotations__", "__dict__", "__weakref__", "__repr__",
    "__constants__", "__parameters__", "__orig_bases__", "__static_attributes__", "__firstlineno__", "extra_repr",
    "reset_parameters",
}  # fmt: skip
"""What a subclass of a layer may define without changing what the layer computes."""


class _Whole(nn.Module):
    """A network as the one child of a root: a bare layer becomes a node, arguments with defaults keep them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)


class _Proxy(fx.Proxy):
    """A value being recorded; operators that change it in place are recorded as such."""

    def __setitem__(self, key: Any, value: Any) -> None:
        raise TypeError("a part of a tensor is assigned; build the result with torch.cat or torch.where")


def _in_place(name: str) -> Any:
    function = getattr(operator, name)

    def record(self: fx.Proxy, other: Any) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return record


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "imatmul"):
    setattr(_Proxy, f"__{_name}__", _in_place(_name))


class _Recorder(SourceTracer):
    """Stops at layers, looks into everything else, and gives modules names that are attributes, never code."""

    def __init__(self, arguments: Sequence[str]) -> None:
        super().__init__()
        self.arguments = tuple(arguments)
        self.targets: dict[str, str] = {}  # the name in the graph -> where the value is below the root
        self.names: dict[str, str] = {}  # the other way

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """The value of a node."""
        return _Proxy(node, self)

    def create_args_for_root(self, root_fn: Any, is_module: bool, concrete_args: Any = None) -> tuple[Any, list[Any]]:
        """An input for each argument, called as in the network."""
        del is_module, concrete_args
        return root_fn, [self.root, *(self.create_proxy("placeholder", name, (), {}) for name in self.arguments)]

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module becomes a node."""
        del module_qualified_name
        return is_layer(m)

    def path_of_module(self, mod: nn.Module) -> str:
        """Where a module is below the root; one that the forward pass makes, such as nn.ReLU()(x), is added."""
        paths: dict[nn.Module, str] = self.submodule_paths  # type: ignore[assignment]
        if mod not in paths:
            paths[mod] = name = f"{type(mod).__name__.lower()}_{len(paths)}"
            self.root.add_module(name, mod)
        return paths[mod]

    def create_node(self, kind: str, target: Any, *arguments: Any, **settings: Any) -> fx.Node:
        """A node; names of modules and tensors are made safe."""
        if kind in ("call_module", "get_attr"):
            target = self._safe(str(target))
        return super().create_node(kind, target, *arguments, **settings)

    def _safe(self, path: str) -> str:
        """The name in the graph of what is at `path` below the root: the same wherever that is an attribute."""
        if path not in self.names:
            name = ".".join(map(_attribute, path.removeprefix(_ROOT).removeprefix(".").split("."))) or _BARE
            first, dot, rest = name.partition(".")
            name = f"{first}_{dot}{rest}" if first == "self" or hasattr(_EMPTY, first) else name
            while name in self.targets:
                name += "_"
            self.names[path], self.targets[name] = name, path
        return self.names[path]


def _attribute(part: str) -> str:
    """A name that is an attribute, also in the code that torch.fx writes."""
    part = re.sub(r"[^\w-]", "_", part)
    return f"{part}_" if keyword.iskeyword(part) else part


_EMPTY = Network(nn.Module(), fx.Graph())


def is_layer(module: nn.Module) -> bool:
    """Whether a module is one operation: a layer of torch as torch computes it, or a module with a lowering rule.

    A subclass, or an object, that changes anything that the layer computes with is looked into instead.
    """
    if any(callable(getattr(type(module), key, None)) and key not in _HARMLESS for key in vars(module)):
        return False
    kinds = type(module).__mro__[parametrize.is_parametrized(module) :]
    for number, kind in enumerate(kinds):
        if kind.__module__.startswith(("torch.nn.", "torch.ao.")):
            return kind not in _CONTAINERS and not any(_changes(sub, kind) for sub in kinds[:number])
        if kind in lower.registry:
            return kind is not object
    return False


def _changes(sub: type, layer: type) -> bool:
    """Whether a subclass defines something that the layer has."""
    fields = {key for base in layer.__mro__ for key in getattr(base, "__annotations__", {})}
    return any(key not in _HARMLESS and (key in fields or hasattr(layer, key)) for key in vars(sub))


def record(model: nn.Module) -> Network:
    """The forward pass of `model` in evaluation, sharing its submodules under the same names.

    A bare layer is called `layer`; characters that no attribute has become underscores. Flags of training stay.

    Raises:
        UnsupportedLayer: no input, the forward pass depends on the values of tensors, or a part was approximated
        before.
    """
    _require_float(model)
    tracer, root = _Recorder(_arguments(model)), _Whole(model)
    try:
        with evaluating(model):
            graph = tracer.trace(root)
    except IntaglioError:
        raise
    except Exception as error:
        raise _not_recorded(model, error) from error
    gm = Network({name: _value(root, path) for name, path in tracer.targets.items()}, graph, type(model).__name__)
    gm.training = model.training
    return gm


def _require_float(model: nn.Module) -> None:
    """Raise UnsupportedLayer for an approximated network inside another module."""
    for name, module in model.named_modules():
        if isinstance(module, Network):
            raise UnsupportedLayer(
                f"{name}: is an approximated network inside another module; give it by itself, "
                f"network.get_submodule({name!r}), and put what stands around it into the network before Recipe.apply"
            )


def _value(root: nn.Module, path: str) -> Any:
    """The module or tensor at a path."""
    value: Any = root
    for part in path.split("."):
        value = getattr(value, part)
    return value


def input_names(model: Any) -> list[str]:
    """The names of a network's inputs; one for what cannot be recorded, which is refused when it is."""
    model = inside(model)
    if isinstance(model, Network):
        return [str(node.target) for node in model.graph.nodes if node.op == "placeholder"]
    try:
        return _arguments(model)
    except (AttributeError, TypeError, ValueError, UnsupportedLayer):
        return ["input"]


def _arguments(model: nn.Module) -> list[str]:
    """The names of the inputs of a network, its arguments without defaults; UnsupportedLayer where it takes none."""
    parameters = list(inspect.signature(model.forward).parameters.values())
    named = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if not named and not takes_any:
        raise UnsupportedLayer(f"{type(model).__name__}: forward takes no input; give it one tensor")
    return needed or named[:1] or ["input"]


def _not_recorded(model: nn.Module, error: Exception) -> UnsupportedLayer:
    """What a forward pass that cannot be recorded should become, and the line where the recording stopped."""
    line = line_of(error)
    where = f"{type(model).__name__}, {line} `{line.text[:80]}`" if line else type(model).__name__
    if isinstance(error, NotImplementedError) and "forward" in str(error):
        return UnsupportedLayer(
            f"{where}: the forward pass cannot be recorded, because a module in it has none; call its parts instead"
        )
    said = re.sub(r"'?_?(Proxy|Attribute)(\(\w+\)|' object|')?", "a tensor", str(error).partition("\n")[0])
    return UnsupportedLayer(
        f"{where}: the forward pass cannot be recorded ({said}); a branch or a loop that depends on tensor values "
        "has no fixed hardware: make it a constant, or split the network"
    )
