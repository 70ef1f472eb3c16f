"""A plain copy of the network that a user brings: wrappers taken off, weights that are computed written down.

What cannot be copied as a fixed function is refused by name, with what to do about it.
"""

import copy
import sys
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.fx import GraphModule
from torch.nn.modules import module as torch_module
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from intaglio.ir.errors import UnsupportedLayer
from intaglio.twin.layers import evaluating
from intaglio.twin.quantizers import WeightGrid
from intaglio.twin.refuse import require_sizes

_COMPUTED = (WeightNorm, SpectralNorm)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks")


def copied(model: nn.Module) -> nn.Module:
    """A deep copy without wrappers (torch.compile, DataParallel) that computes what `model` computes.

    Raises:
        UnsupportedLayer: the network is scripted or exported, has hooks, pruning in progress, or weights that are not
        there yet.
    """
    require_plain(model)
    fixed = {id(v): v.detach().clone() for m in model.modules() for v in vars(m).values() if _is_computed(v)}
    try:
        return _unwrapped(copy.deepcopy(inside(model), fixed))
    except (TypeError, RuntimeError) as error:
        reason = str(error).partition("\n")[0]
        raise UnsupportedLayer(
            f"{type(model).__name__}: the network cannot be copied ({reason}); keep files, locks and generators, and "
            f"tensors of earlier calls, out of its modules"
        ) from error


def bake(model: nn.Module) -> bool:
    """Write down computed weights (weight norm, spectral norm, parametrisations) as they are in evaluation, in place.

    Numbers of 16 bits become float32 first, which holds each of them. Weights that are on a grid already keep their
    parametrisations. Returns whether there was anything to write down.
    """
    model._apply(lambda t: t.float() if t.is_floating_point() and t.element_size() < 4 else t)
    with evaluating(model):
        found = [_bake_hooks(module) | _bake_parametrisations(module) for module in model.modules()]
    return any(found)


def require_plain(model: Any) -> None:
    """Raise UnsupportedLayer for what is no network of plain functions: hooks, scripts, weights that are not there."""
    _require_network(model)
    require_sizes(model)
    for name, module in model.named_modules():
        _require_plain(name or type(model).__name__, module)


def _require_network(model: Any) -> None:
    if isinstance(model, torch.export.ExportedProgram):
        raise UnsupportedLayer(f"{type(model).__name__}: {_EXPORTED}")
    if not isinstance(model, nn.Module):
        raise UnsupportedLayer(f"{type(model).__name__}: is no network; give a torch.nn.Module")
    for kind in _HOOKS:
        if getattr(torch_module, f"_global{kind}"):
            raise UnsupportedLayer(
                f"{type(model).__name__}: a hook on all modules may change results; remove it (handle.remove())"
            )


_EXPORTED = (
    "was recorded by torch.export, where layers are gone; give the network that was exported: build it and load "
    "its state_dict"
)


def _require_plain(name: str, module: nn.Module) -> None:
    """Refuse a module that is no plain function of its input and its weights."""
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedLayer(
            f"{name}: is scripted or traced by torch.jit; give the network that it was made from: build it and "
            f"load its state_dict"
        )
    if isinstance(module, GraphModule) and any(isinstance(n.target, torch._ops.OpOverload) for n in module.graph.nodes):
        raise UnsupportedLayer(f"{name}: {_EXPORTED}")
    for key, tensor in (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)):
        if tensor.is_meta:
            raise UnsupportedLayer(f"{name}.{key}: is on the meta device, without values; load its weights first")
    for hook in (hook for kind in _HOOKS for hook in vars(module).get(kind, {}).values()):
        _require_known(name, module, hook)


def _require_known(name: str, module: nn.Module, hook: Any) -> None:
    """Refuse a hook that is not one of torch's for computed weights."""
    if isinstance(hook, prune.BasePruningMethod):
        tensor = hook._tensor_name
        mask: Tensor = getattr(module, f"{tensor}_mask")
        raise UnsupportedLayer(
            f"{name}: its {tensor} is pruned by torch.nn.utils.prune; make it permanent with "
            f"prune.remove(layer, '{tensor}'), and put Prune(sparsity={float((mask == 0).double().mean()):.3g}) into "
            f"the recipe, which keeps zeros while training"
        )
    if not isinstance(hook, _COMPUTED):
        called = getattr(hook, "__name__", type(hook).__name__)
        raise UnsupportedLayer(
            f"{name}: has the forward hook {called}, which hardware would not contain; remove it (handle.remove()) "
            f"and write what it computes into forward"
        )


def _is_computed(value: Any) -> bool:
    """Whether a value is a tensor that some graph computed, which cannot be copied as it is."""
    return isinstance(value, Tensor) and not value.is_leaf


def inside(module: nn.Module) -> nn.Module:
    """The network in wrappers that only change how it runs: torch.compile, DataParallel."""
    dynamo = sys.modules.get("torch._dynamo.eval_frame")  # not imported as long as nothing is compiled
    while True:
        if dynamo is not None and isinstance(module, dynamo.OptimizedModule):
            module = cast(nn.Module, module._orig_mod)
        elif isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            module = module.module
        else:
            return module


def _unwrapped(model: nn.Module) -> nn.Module:
    """The network with the wrappers of its parts taken off, in place."""
    for module in list(model.modules()):
        for name, child in module._modules.items():
            if child is not None:
                module._modules[name] = inside(child)
    return model


def _bake_hooks(module: nn.Module) -> bool:
    """torch.nn.utils.weight_norm and spectral_norm."""
    hooks = [hook for hook in module._forward_pre_hooks.values() if isinstance(hook, _COMPUTED)]
    for hook in hooks:
        remove = remove_weight_norm if isinstance(hook, WeightNorm) else remove_spectral_norm
        remove(module, hook.name)
    return bool(hooks)


def _bake_parametrisations(module: nn.Module) -> bool:
    """torch.nn.utils.parametrize, weight by weight.

    torch's own removal would take the weight from the class, which copies of a parametrised layer share.
    """
    if not parametrize.is_parametrized(module):
        return False
    stacks: Any = module.parametrizations
    if any(isinstance(part, WeightGrid) for stack in stacks.values() for part in stack):
        return False
    plain = {}
    for name, stack in stacks.items():
        with torch.no_grad():
            plain[name] = nn.Parameter(stack().clone(), any(p.requires_grad for p in stack.parameters()))
    module.__class__ = type(module).__mro__[1]
    del module._modules["parametrizations"]
    module._parameters = {**plain, **module._parameters}
    return True
