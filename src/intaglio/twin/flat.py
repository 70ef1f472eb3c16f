"""Reading and changing a flat torch.fx graph in which every operation is a module."""

from typing import Any

import torch
from torch import nn
from torch.fx import GraphModule, Node

RESHAPES = (torch.flatten, "flatten", torch.reshape, "reshape", "view")


def insert_module(module: GraphModule, node: Node, name: str, made: nn.Module, arguments: tuple[Any, ...]) -> Node:
    """Put a module call in place of `node`, under a free name close to `name`."""
    name = free_name(module, name)
    module.add_submodule(name, made)
    with module.graph.inserting_before(node):
        new = module.graph.call_module(name, arguments)
    new.meta.update(node.meta)
    node.replace_all_uses_with(new)
    module.graph.erase_node(node)
    return new


def insert_after(module: GraphModule, node: Node, name: str, made: nn.Module) -> Node:
    """Put a module between `node` and all its users."""
    name = free_name(module, name)
    module.add_submodule(name, made)
    with module.graph.inserting_after(node):
        new = module.graph.call_module(name, (node,))
    node.replace_all_uses_with(new, delete_user_cb=lambda user: user is not new)
    return new


def free_name(module: nn.Module, name: str) -> str:
    """`name`, with a number added if the module already has such an attribute."""
    name = name.replace(".", "_")
    number = 0
    while hasattr(module, name if not number else f"{name}_{number}"):
        number += 1
    return name if not number else f"{name}_{number}"


def module_of(gm: GraphModule, node: Node) -> nn.Module | None:
    """The module that a node calls; None for anything else."""
    return gm.get_submodule(str(node.target)) if node.op == "call_module" else None


def sizes_of(node: Node) -> tuple[Any, ...]:
    """The sizes that a view or a reshape asks for; none for another node."""
    if node.target not in ("view", "reshape", torch.reshape) or len(node.args) < 2:
        return ()
    return tuple(node.args[1]) if isinstance(node.args[1], tuple | list) else node.args[1:]


def is_reshape(node: Node) -> bool:
    """Whether a node only reshapes a tensor."""
    return node.op in ("call_function", "call_method") and node.target in RESHAPES
