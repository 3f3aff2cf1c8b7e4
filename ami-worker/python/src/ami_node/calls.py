"""The calls that the host serves."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Tuple

import numpy as np

from .frame import Frame
from .arena import NO_EVENT, Inbox, Outbox
from .check import check_columns
from .columns import Maps, read
from .describe import describe, find
from .failures import Failures, message, trace
from .loaded import Loaded
from .outputs import Results
from .run_events import Job, absorb, run_events
from .source import import_source
from .state import decode, encode, own, settle

Call = Dict[str, Any]
Answer = Dict[str, Any]


class Calls:
    """What is loaded, and the memory it works on."""

    def __init__(self, inbox: Inbox, outbox: Outbox) -> None:
        self._inbox = inbox
        self._outbox = outbox
        self._maps = Maps(inbox)
        self._loaded: Dict[int, Loaded] = {}
        self._token = 0
        self._served: Dict[str, Callable[[Call], Any]] = {
            "describe": self._describe,
            "load": self._load,
            "unload": self._unload,
            "events": self._events,
            "absorb": self._absorb,
            "merge": self._merge,
            "finish": self._finish,
            "update": self._update,
            "check": self._check,
            "map": self._map,
            "unmap": self._unmap,
        }

    def serve(self, call: Call) -> Answer:
        """The answer to a call; whatever goes wrong is in it."""
        self._outbox.clear()
        try:
            if "inbox" in call:
                self._inbox.resize(call["inbox"])
            answer = {"ok": self._served[call["call"]](call)}
        except BaseException as error:
            answer = {"error": self._error(call, error)}
        self._outbox.number[0] = NO_EVENT
        answer["outbox"] = self._outbox.size
        return answer

    def _error(self, call: Call, error: BaseException) -> Dict[str, str]:
        if isinstance(error, _Unknown):
            return {"message": str(error), "traceback": ""}
        loaded = self._loaded.get(call.get("id", -1))
        module = loaded.module if loaded else None
        return {"message": message(error, module), "traceback": trace(error, module)}

    def _node(self, call: Call) -> Loaded:
        loaded = self._loaded.get(call["id"])
        if loaded is None:
            raise ValueError(f"nothing is loaded as {call['id']}")
        return loaded

    def _source(self, call: Call) -> str:
        return self._inbox.text(*call["source"])

    def _describe(self, call: Call) -> Answer:
        return {"nodes": describe(self._source(call), call.get("name"), call["file"])}

    def _load(self, call: Call) -> Answer:
        module = import_source(self._source(call), call["file"])
        self._loaded[call["id"]] = Loaded(find(module, call["name"]), call.get("params") or {}, module)
        return {}

    def _unload(self, call: Call) -> Answer:
        self._loaded.pop(call["id"], None)
        return {}

    def _map(self, call: Call) -> Answer:
        self._maps.open(call["m"], call["path"])
        return {}

    def _unmap(self, call: Call) -> Answer:
        self._maps.close(call["m"])
        return {}

    def _job(self, call: Call, loaded: Loaded) -> Job:
        count = call["events"]
        columns = read(call["columns"], count, self._maps)
        chosen: Optional[np.ndarray] = None
        if call.get("mask") is not None:
            mask = np.ndarray((count,), np.bool_, self._inbox.map, call["mask"])
            chosen = None if mask.all() else np.flatnonzero(mask)
        job = Job(loaded, columns, count, chosen, self._outbox.number, call.get("one_by_one", False))
        loaded.enter(call.get("context"), job.failures)
        return job

    def _events(self, call: Call) -> Answer:
        loaded = self._node(call)
        job = self._job(call, loaded)
        results = Results(loaded.declared.outputs, self._outbox, job.count)
        run_events(job, results)
        return {"outputs": results.columns(job.chosen), **_failed(job.failures)}

    def _absorb(self, call: Call) -> Answer:
        loaded = self._node(call)
        state = self._state(call["state"], loaded)
        loaded.state = None  # if this fails, what was kept may be half changed
        job = self._job(call, loaded)
        state = absorb(job, state)
        answer = {"state": self._put_state(state), **_failed(job.failures)}
        own(state)
        self._token += 1
        loaded.state, loaded.token = state, self._token
        return {**answer, "token": self._token}

    def _state(self, given: Any, loaded: Loaded) -> Dict[str, Any]:
        if given is None:
            return loaded.start()
        if isinstance(given, int):
            if loaded.state is None or given != loaded.token:
                raise _Unknown("unknown token")
            return loaded.state
        return self._decoded(given)

    def _decoded(self, where: List[int], copy: bool = True) -> Dict[str, Any]:
        at, size = where
        return decode(self._inbox.map, at, size, copy)

    def _put_state(self, state: Dict[str, Any]) -> List[int]:
        made = encode(state)
        at = self._outbox.reserve(made.size)
        made.write(self._outbox.map, at)
        return [at, made.size]

    def _merge(self, call: Call) -> Answer:
        loaded = self._node(call)
        first, *others = call["states"]
        state = self._decoded(first)
        for other in others:
            state = settle(state, loaded.node.merge(state, self._decoded(other, copy=False)), "merge")
        return {"state": self._put_state(state)}

    def _finish(self, call: Call) -> Answer:
        loaded = self._node(call)
        state = self._decoded(call["state"])
        return self._outputs(loaded, loaded.node.finish(state))

    def _update(self, call: Call) -> Answer:
        loaded = self._node(call)
        failures = Failures(loaded.module)
        loaded.enter(call.get("context"), failures)
        inputs = [column.values(None)[0] for column in read(call["columns"], 1, self._maps)]
        return {**self._outputs(loaded, loaded.call(Frame(call["frame"]), *inputs)), **_failed(failures)}

    def _outputs(self, loaded: Loaded, returned: Any) -> Answer:
        results = Results(loaded.declared.outputs, self._outbox, 1)
        results.put(0, returned)
        return {"outputs": results.columns(None)}

    def _check(self, call: Call) -> Answer:
        loaded = self._node(call)
        job = self._job(call, loaded)
        lanes = call.get("lanes") or (1, 2, 3, 7)
        return check_columns(loaded, job.columns, job.events(), lanes, job.number, job.one_by_one)


class _Unknown(LookupError):
    """Told without the name of an exception: ami looks for this text."""


def _failed(failures: Failures) -> Dict[str, Any]:
    first: List[Tuple[int, str, str]] = failures.first
    return {"failed": failures.count, "failures": first}
