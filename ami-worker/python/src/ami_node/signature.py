"""Inputs and parameters of a node, from the signature of what people wrote."""

from __future__ import annotations

import collections.abc
import inspect
import math
import re
import typing
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from .errors import NodeError, did_you_mean

_INPUT_KINDS = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class Param(NamedTuple):
    """A parameter: keyword-only, with a default.

    Attributes:
        name: of the parameter.
        default: as it is in the signature.
        type: "bool", "integer", "number", "text", "list" or "any".
        doc: from the docstring; empty if it says nothing.
    """

    name: str
    default: Any
    type: str
    doc: str

    def describe(self) -> Dict[str, Any]:
        return {"name": self.name, "default": plain(self.default), "type": self.type, "doc": self.doc}


def inputs_of(function: Callable[..., Any], where: str, skip: int = 0) -> Tuple[Tuple[str, ...], bool]:
    """Names of the positional inputs after the first `skip`, and whether there is `*inputs`."""
    names: List[str] = []
    varargs = False
    for name, parameter in list(_signature(function, where).items())[skip:]:
        if parameter.kind in _INPUT_KINDS:
            if parameter.default is not parameter.empty:
                raise NodeError(
                    f"{where}: {name} has a default, but what is positional is an input",
                    f"write `*, {name}={parameter.default!r}` if it is a parameter, else leave the default out",
                )
            names.append(name)
        elif parameter.kind is parameter.VAR_POSITIONAL:
            varargs = True
        elif parameter.kind is parameter.VAR_KEYWORD:
            raise NodeError(f"{where}: takes **{name}, so its parameters have no names", "name each after a `*`")
    return tuple(names), varargs


def params_of(function: Optional[Callable[..., Any]], where: str, doc: str, only_params: bool = False) -> Tuple[Param, ...]:
    """Keyword-only parameters. `only_params`: nothing else is allowed (an `__init__`)."""
    if function is None:
        return ()
    params: List[Param] = []
    hints = _hints(function)
    for name, parameter in list(_signature(function, where).items())[1 if only_params else 0 :]:
        if parameter.kind is parameter.KEYWORD_ONLY:
            params.append(_param(name, parameter, hints.get(name), where, doc))
        elif only_params:
            raise NodeError(
                f"{where}: __init__ takes {name} by position", f"write `*, {name}=…`: parameters are keyword-only with a default"
            )
    return tuple(params)


def _signature(function: Callable[..., Any], where: str) -> Dict[str, inspect.Parameter]:
    try:
        return dict(inspect.signature(function).parameters)
    except (TypeError, ValueError) as error:
        raise NodeError(f"{where}: its signature cannot be read ({error})", "wrap it in a `def`") from None


def _param(name: str, parameter: inspect.Parameter, hint: Any, where: str, doc: str) -> Param:
    default = parameter.default
    if default is parameter.empty:
        raise NodeError(f"{where}: parameter {name} has no default", f"write `{name}=…`")
    try:
        plain(default)
    except TypeError:
        raise NodeError(
            f"{where}: the default of parameter {name} is a {type(default).__name__}",
            "use a number, a text, a list or None, and make the rest from it",
        ) from None
    return Param(name, default, _type_name(hint) or _type_name(type(default)) or "any", param_doc(doc, name))


def plain(value: Any, short: bool = False) -> Any:
    """As JSON has it; numbers JSON lacks become the texts that ami writes for them.

    With `short`, an array is told by its shape alone.
    """
    if short and isinstance(value, np.ndarray) and value.ndim:
        return f"shape {list(value.shape)}"
    if isinstance(value, (np.generic, np.ndarray)) and not value.ndim:
        value = value.item()
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, dict) and all(isinstance(k, str) for k in value):
        return {k: plain(v) for k, v in value.items()}
    raise TypeError(type(value).__name__)


def _hints(function: Callable[..., Any]) -> Dict[str, Any]:
    try:
        return typing.get_type_hints(function)
    except Exception:  # a name in an annotation that only a type checker knows: the default tells as well
        return {}


def _type_name(hint: Any) -> Optional[str]:
    """The type of a parameter from an annotation or a class; None if it tells nothing."""
    origin = typing.get_origin(hint)
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        inner = [a for a in typing.get_args(hint) if a is not type(None)]
        return _type_name(inner[0]) if len(inner) == 1 else None
    hint = origin or hint
    if not isinstance(hint, type):
        return None
    if issubclass(hint, (bool, np.bool_)):
        return "bool"
    if issubclass(hint, (int, np.integer)):
        return "integer"
    if issubclass(hint, (float, np.floating)):
        return "number"
    if issubclass(hint, str):
        return "text"
    return "list" if issubclass(hint, (list, tuple, collections.abc.Sequence)) else None


def param_doc(doc: str, name: str) -> str:
    """What a docstring says of a parameter: numpy's "Parameters" section, or a line `name: text`."""
    lines = doc.splitlines()
    for at, line in enumerate(lines):
        match = re.match(rf"^(\s*){re.escape(name)}\s*(?:\([^)]*\)\s*)?:\s*(.*)$", line)
        if match is None and line.strip() != name:
            continue
        indent = len(line) - len(line.lstrip())
        below = []
        for more in lines[at + 1 :]:
            if not more.strip() or len(more) - len(more.lstrip()) <= indent:
                break
            below.append(more.strip())
        numpy_style = any(set(ln.strip()) == {"-"} and len(ln.strip()) > 2 for ln in lines[:at])
        own = [] if match is None or (numpy_style and below) else [match.group(2).strip()]
        if own or below:
            return " ".join(own + below)
    return ""


def checked_params(params: Tuple[Param, ...], given: Dict[str, Any], where: str) -> Dict[str, Any]:
    """Given values of parameters as their types; what is wrong is a NodeError."""
    known = {p.name: p for p in params}
    for name in given:
        if name not in known:
            raise NodeError(f"{where} has no parameter {name!r}", did_you_mean(name, known))
    return {name: _converted(known[name], value, where) for name, value in given.items()}


def _converted(param: Param, value: Any, where: str) -> Any:
    if param.type == "any" or (value is None and param.default is None):
        return value
    if param.type == "bool" and isinstance(value, bool):
        return value
    if param.type == "text" and isinstance(value, str):
        return value
    if param.type == "list" and isinstance(value, (list, tuple)):
        return tuple(value) if isinstance(param.default, tuple) else list(value)
    if param.type == "number" and isinstance(value, str) and value in _SPECIAL:
        return _SPECIAL[value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if param.type == "number":
            return float(value)
        if param.type == "integer" and float(value).is_integer():
            return int(value)
    raise NodeError(
        f"{where}: parameter {param.name} is {value!r}", f"it takes a value of type {param.type}, such as {param.default!r}"
    )
