"""What ami must know of a node, as JSON has it."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any, Dict, Optional, Union

from .errors import NodeError, did_you_mean
from .node import AnyNode, Declaration, Node, is_node
from .source import import_source

_ACCEPTED = "a function under @per_event(outputs={…}), or a class derived from PerEvent, Reduction or Root"


def describe(code: Union[ModuleType, str, AnyNode], name: Optional[str] = None, file: str = "code.py") -> Dict[str, Any]:
    """Describes the nodes of a module, of a source text, or one node.

    Args:
        code: a module, the text of one, or a node.
        name: describe this node alone.
        file: what the source is called in errors.

    Returns:
        `{name: description}`, where a description has kind, name, doc, inputs, varargs, outputs,
        params, split_dependent, batch, merge, every and hooks.

    Raises:
        NodeError: there is no such node, or it is not declared right.
    """
    if is_node(code):
        one: Declaration = code.declaration()  # type: ignore[union-attr]
        return {one.name: describe_one(one, one.name)}
    module = import_source(code, file) if isinstance(code, str) else code
    assert isinstance(module, ModuleType)
    if name is not None:
        return {name: describe_one(find(module, name).declaration(), name)}
    nodes = nodes_of(module)
    if not nodes:
        raise NodeError(f"{_file(module)} has no node", f"write {_ACCEPTED}")
    return {name: describe_one(node.declaration(), name) for name, node in nodes.items()}


def describe_one(node: Declaration, name: str) -> Dict[str, Any]:
    """One node's description; `name` is what its module calls it."""
    return {
        "kind": node.kind,
        "name": name,
        "doc": node.doc,
        "inputs": list(node.inputs),
        "varargs": node.varargs,
        "outputs": [output.describe() for output in node.outputs],
        "params": [param.describe() for param in node.params],
        "split_dependent": node.split_dependent,
        "batch": node.batch,
        "merge": "custom" if node.custom_merge else "add",
        "every": node.every,
        "hooks": node.hooks,
    }


def nodes_of(module: ModuleType) -> Dict[str, AnyNode]:
    """Nodes that a module defines, by name, in its order; not what it imports, nor names with `_`."""
    return {
        name: thing
        for name, thing in vars(module).items()
        if not name.startswith("_") and is_node(thing) and thing.__module__ == module.__name__
    }


def find(module: ModuleType, name: str) -> AnyNode:
    """The node of that name; NodeError says what there is, or what is accepted."""
    thing: Any = getattr(module, name, None)
    if is_node(thing):
        return thing  # type: ignore[no-any-return]
    if not hasattr(module, name):
        raise NodeError(f"{_file(module)} has no {name!r}", did_you_mean(name, nodes_of(module)))
    raise NodeError(f"{name} of {_file(module)} is {_what(thing)}", f"{_hint(thing)}accepted is {_ACCEPTED}")


def _what(thing: Any) -> str:
    if inspect.isfunction(thing):
        return "a function without @per_event"
    if isinstance(thing, Node):
        return f"an instance of {type(thing).__name__}"
    return "a class of another kind" if isinstance(thing, type) else f"a {type(thing).__name__}"


def _hint(thing: Any) -> str:
    """Code of other systems is recognised by its methods."""
    if isinstance(thing, Node):
        return f"name the class, {type(thing).__name__}; "
    for method, helper in (("on_event", "from_ami2"), ("process_data", "from_om"), ("process", "from_pvapy")):
        if isinstance(thing, type) and hasattr(thing, method):
            return f"ami_node.compat.{helper} makes it a node; "
    return ""


def _file(module: ModuleType) -> str:
    return getattr(module, "__file__", None) or module.__name__


__all__ = ["describe", "describe_one", "find", "nodes_of"]
