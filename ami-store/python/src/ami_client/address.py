"""From what a user writes to ZeroMQ endpoints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Tuple, Union

from .errors import AmiError

#: What the store and manager classes take: a run directory or an address.
Address = Union[str, "os.PathLike[str]", None]

PUB_PORT = 5570
QUERY_PORT = 5571
MANAGER_PORT = 5572

_FORMS = 'give a run directory, "tcp://host", "tcp://host:port" or "ipc://directory", or set AMI_RUN_DIR'


def store_endpoints(address: Address, query: Union[str, None]) -> Tuple[str, str]:
    """Endpoints of the store: features, queries."""
    where = _resolve(address)
    if where.startswith("tcp://"):
        host, port = _host_port(where, PUB_PORT)
        return f"{host}:{port}", query or f"{host}:{QUERY_PORT if port == PUB_PORT else port + 1}"
    directory = where[len("ipc://") :]
    if directory.endswith("/store.pub"):
        directory = directory[: -len("/store.pub")]
    return f"ipc://{directory}/store.pub", query or f"ipc://{directory}/store.query"


def manager_endpoint(address: Address) -> str:
    """Endpoint of the manager."""
    where = _resolve(address)
    if where.startswith("tcp://"):
        host, port = _host_port(where, MANAGER_PORT)
        return f"{host}:{port}"
    return where if where.endswith("/manager.cmd") else f"{where}/manager.cmd"


def _resolve(address: Address) -> str:
    """`tcp://…` or `ipc://DIRECTORY` without a slash at the end."""
    if address is None:
        address = os.environ.get("AMI_RUN_DIR")
        if not address:
            raise AmiError("no address was given and AMI_RUN_DIR is not set", _FORMS)
    text = os.fspath(address)
    if text.startswith(("tcp://", "ipc://")):
        if not text[6:].strip("/"):
            raise AmiError(f"address {text!r} names no host or directory", _FORMS)
        return text.rstrip("/")
    if "://" in text:
        raise AmiError(f"address {text!r} is neither tcp nor ipc", _FORMS)
    if not Path(text).is_dir():
        raise AmiError(f"there is no run directory {text!r}", f"is ami running? {_FORMS}")
    return f"ipc://{Path(text).absolute()}"


def _host_port(address: str, default: int) -> Tuple[str, int]:
    """`tcp://host` and port; IPv6 addresses stand in brackets."""
    host, colon, port = address.rpartition(":")
    if host == "tcp" or "]" in port:
        return address, default
    if not colon or not port.isdigit() or not 0 < int(port) < 65536:
        raise AmiError(f"address {address!r} has no port number after the last colon", _FORMS)
    return host, int(port)
