"""The client of the manager: graph edits and what the system is doing."""

from __future__ import annotations

import getpass
import math
import os
import socket
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Union

from .address import Address, manager_endpoint
from .errors import AmiError
from .keys import KeyFile, load_keys
from .request import Client, Requester, decode

#: A graph: a dict, the JSON text of one, or the path of a file with it.
Spec = Union[Mapping[str, Any], str, "os.PathLike[str]"]
Document = Dict[str, Any]


class Manager(Client):
    """Edits graphs. An edit is in effect on all members when the method returns.

    Edits return a dict: graph, version (the new one), in_effect, members, waiting_for (members that
    are not at the version when `edit_timeout` is over; the version stays), not_ready. A refused edit
    is an AmiError whose `errors` say which node or member, and why.

    `base` is the version of the graph that the edit was made against (0: it must not exist): if there
    is a newer one, the edit is refused.
    """

    def __init__(
        self,
        run_dir_or_address: Address = None,
        timeout: float = 5.0,
        edit_timeout: float = 30,
        who: Optional[str] = None,
        key: KeyFile = None,
        server_key: KeyFile = None,
    ) -> None:
        """Connects; nothing is asked yet.

        Args:
            run_dir_or_address: run directory, or "tcp://host", "tcp://host:port", "ipc://directory".
                AMI_RUN_DIR unless given.
            timeout: longest wait for an answer, seconds.
            edit_timeout: longest wait for a version to be in effect, seconds.
            who: stands in the history, unless a key says who you are; user@host unless given.
            key: your own pair (NAME.key_secret), for a system that asks for keys. AMI_KEY unless given.
            server_key: the system's public key. AMI_SERVER_KEY unless given.
        """
        self.endpoint = manager_endpoint(run_dir_or_address)
        self.who = who or _who()
        self._edit_timeout = edit_timeout
        self._requests = Requester(self.endpoint, timeout, "ami-manager", load_keys(key, server_key))

    def status(self) -> Document:
        """Every daemon and the versions: members, version, in_effect, under_way, queued, journal."""
        return self._ask({"cmd": "status"})

    def sources(self) -> List[Document]:
        """Sources, each with host, name, state, alive and fields (name, aliases, dtype, rank, shape, rate)."""
        return list(self._ask({"cmd": "sources"})["sources"])

    def graphs(self) -> List[Document]:
        """Graphs in effect, each with name, version, description, nodes, publish."""
        return list(self._ask({"cmd": "graph.list"})["graphs"])

    def show(self, graph: str, version: Optional[int] = None) -> Document:
        """A graph: name, version, spec, resets. The newest version unless one is named."""
        return self._ask(_given({"cmd": "graph.show", "graph": graph}, version=version))

    def validate(self, spec: Spec) -> Document:
        """Checks a graph without applying it: graph, errors (empty: fine), warning if any."""
        return self._ask({"cmd": "graph.validate", "spec": _spec(spec)})

    def history(self, graph: str) -> List[Document]:
        """Versions, newest last: version, who, when (ns since 1970), time, what, withdrawn."""
        return list(self._ask({"cmd": "graph.history", "graph": graph})["versions"])

    def diff(self, graph: str, old: Optional[int] = None, new: Optional[int] = None) -> Document:
        """What changed between two versions: graph, from, to, changes. The newest two unless named."""
        return self._ask(_given({"cmd": "graph.diff", "graph": graph}, **{"from": old, "to": new}))

    def apply(self, spec: Spec, base: Optional[int] = None, wait: bool = True) -> Document:
        """Makes `spec` the graph of its name."""
        return self._edit({"cmd": "graph.apply", "spec": _spec(spec)}, base, wait)

    def set(
        self, graph: str, node: str, /, base: Optional[int] = None, wait: bool = True, **params: Any
    ) -> Document:
        """Sets parameters of a node; None removes one.

        `in_` and `with_` stand for `in` and `with`, words that Python keeps to itself.
        """
        named = {key[:-1] if key in ("in_", "with_") else key: value for key, value in params.items()}
        return self._edit({"cmd": "graph.set", "graph": graph, "node": node, "params": named}, base, wait)

    def remove(
        self, graph: str, node: Optional[str] = None, base: Optional[int] = None, wait: bool = True
    ) -> Document:
        """Removes a graph, or a node that nothing uses."""
        return self._edit(_given({"cmd": "graph.rm", "graph": graph}, node=node), base, wait)

    def rollback(self, graph: str, version: int, base: Optional[int] = None, wait: bool = True) -> Document:
        """Makes an old version the newest again, as a new version."""
        return self._edit({"cmd": "graph.rollback", "graph": graph, "version": version}, base, wait)

    def reset(self, graph: str, *nodes: str, wait: bool = True) -> Document:
        """Discards what was accumulated, by all nodes unless some are named."""
        command: Document = {"cmd": "graph.reset", "graph": graph}
        if nodes:
            command["nodes"] = list(nodes)
        return self._edit(command, None, wait)

    def __repr__(self) -> str:
        return f"<Manager {self.endpoint}>"

    def _edit(self, command: Document, base: Optional[int], wait: bool) -> Document:
        # The manager answers at its own timeout at the latest, unless it is gone.
        command.update(who=self.who, no_wait=not wait, timeout_s=max(1, math.ceil(self._edit_timeout)))
        return self._ask(_given(command, base=base), self._edit_timeout + self._requests.timeout)

    def _ask(self, command: Document, timeout: Optional[float] = None) -> Document:
        document = decode(self._requests.ask(command, timeout)[0], self.endpoint)
        if not isinstance(document, dict):
            raise AmiError(f"the answer of {self.endpoint} is no JSON object", "is it the manager's address?")
        return document


def _given(command: Document, **optional: Any) -> Document:
    command.update({key: value for key, value in optional.items() if value is not None})
    return command


def _spec(spec: Spec) -> Any:
    """Text as it stands, for the manager's mistakes then have line and column."""
    if isinstance(spec, Mapping):
        return dict(spec)
    if isinstance(spec, str) and spec.lstrip().startswith(("{", "[")):
        return spec
    try:
        return Path(spec).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AmiError(f"graph file {os.fspath(spec)!r}: {error}", "give a dict, JSON text or a file's path") from error


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{user}@{socket.gethostname()}"
