"""One loaded node in the host: an instance with its parameters, its hooks and where the data stand."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any, Callable, Dict, Optional

from .failures import Failures
from .node import HOOKS, AnyNode, FunctionNode, Node, bound
from .signature import checked_params
from .state import copy_state


class Loaded:
    """An instance of a node.

    Attributes:
        declared: what the node declares.
        node: the instance; of a function, the function's node.
        call: what is called with inputs: event, batch, absorb, absorb_batch or update.
        token, state: the newest state that was answered, so that it need not travel back.
        fails: whether an event of the call before failed.
    """

    def __init__(self, node: AnyNode, params: Dict[str, Any], module: Optional[ModuleType] = None) -> None:
        self.declared = node.declaration()
        self.module = module
        self._again = (node, params, module)
        params = checked_params(self.declared.params, params, self.declared.name)
        if isinstance(node, FunctionNode):
            self.node: Any = node
            self.call: Callable[..., Any] = bound(node.function, params)
        else:
            self.node = node(**params)
            one, many = node._calls
            self.call = getattr(self.node, many if self.declared.batch else one)
        self.token = 0
        self.state: Optional[Dict[str, Any]] = None
        self.fails = False
        self._run: Any = None
        self._step: Any = None
        self._hooks = {name: _hook(self.node, name) for name in HOOKS if name in self.declared.hooks}

    def again(self) -> Loaded:
        """A second instance like this one."""
        return Loaded(*self._again)

    def begin(self, failures: Optional[Failures] = None) -> None:
        """Begins a run, as there is one wherever events are."""
        self.enter({"run": 1}, failures)

    def enter(self, context: Optional[Dict[str, Any]], failures: Optional[Failures]) -> None:
        """Calls the hooks that lie between the call before and this one; without `failures` they may raise."""
        if context is None or not self._hooks:
            return
        run, step = context.get("run"), context.get("step")
        if run == self._run and step == self._step:
            return
        if self._step is not None:
            self._hook("end_step", failures, self._step)
        if run != self._run:
            if self._run is not None:
                self._hook("end_run", failures, self._run)
            if run is not None:
                self._hook("begin_run", failures, run)
        self._run, self._step = run, step
        if step is not None:
            self._hook("begin_step", failures, step, context.get("held") or {})

    def _hook(self, name: str, failures: Optional[Failures], *args: Any) -> None:
        hook = self._hooks.get(name)
        if hook is None:
            return
        try:
            hook(*args)
        except BaseException as error:
            if failures is None:
                raise
            failures.add(-1, error)

    def start(self) -> Dict[str, Any]:
        """A first state that shares no memory with the instance, which may give out the same arrays each time."""
        state = self.node.start()
        if not isinstance(state, dict):
            raise TypeError(f"start returned {type(state).__name__}; a state is a dict")
        return copy_state(state)  # type: ignore[no-any-return]


def _hook(node: Node, name: str) -> Callable[..., Any]:
    """A hook that may take fewer arguments than it is offered: `begin_step(self)` is enough."""
    method = getattr(node, name)
    parameters = inspect.signature(method).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return method  # type: ignore[no-any-return]
    wanted = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    return lambda *args: method(*args[:wanted])
