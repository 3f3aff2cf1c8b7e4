"""Makes classes of nodes whose inputs and parameters are known only at run time."""

from __future__ import annotations

import inspect
import sys
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple, Type

import numpy as np

from ..node import Node

_P = inspect.Parameter


def make(base: Type[Node], theirs: Any, outputs: Mapping[str, str], members: Dict[str, Any]) -> Any:
    """A class of a node, named and documented as the code it wraps, in the module that asked for it."""
    name = getattr(theirs, "__name__", "node")
    frame = sys._getframe(2)
    more = {"outputs": dict(outputs), "__doc__": inspect.getdoc(theirs), "__module__": frame.f_globals.get("__name__", "?")}
    return type(name, (base,), {**members, **more})


def with_inputs(
    function: Callable[..., Any], before: Sequence[str], inputs: Sequence[str], varargs: bool = False
) -> Callable[..., Any]:
    """Gives a function that takes anything a signature with these names."""
    parameters = [_P(name, _P.POSITIONAL_OR_KEYWORD) for name in (*before, *inputs)]
    if varargs:
        parameters.append(_P("more", _P.VAR_POSITIONAL))
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return function


def with_params(function: Callable[..., Any], params: Mapping[str, Any]) -> Callable[..., Any]:
    """Gives an `__init__` that takes anything these parameters, with their defaults."""
    own = [_P(name, _P.KEYWORD_ONLY, default=default) for name, default in params.items()]
    function.__signature__ = inspect.Signature([_P("self", _P.POSITIONAL_OR_KEYWORD), *own])  # type: ignore[attr-defined]
    return function


def positional(function: Callable[..., Any]) -> Tuple[Tuple[str, ...], bool]:
    """Names of a function's positional arguments, and whether there is `*args`."""
    parameters = inspect.signature(function).parameters.values()
    names = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return names, any(p.kind is p.VAR_POSITIONAL for p in parameters)


def own(value: Any) -> Any:
    """An array that may be written to: other systems hand out such ones."""
    return np.array(value) if isinstance(value, np.ndarray) else value


def optional(theirs: Any, method: str) -> Optional[Callable[..., Any]]:
    """A method that their class may have."""
    found = getattr(theirs, method, None)
    return found if callable(found) else None
