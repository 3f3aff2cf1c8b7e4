"""Keys of systems that ask for them (ZeroMQ CURVE)."""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Optional, Union

from zmq.auth import load_certificate

from .errors import AmiError

#: A file as `ami-ctl keys new` or pyzmq's `create_certificates` write it.
KeyFile = Union[str, "os.PathLike[str]", None]


class Keys(NamedTuple):
    """One's own pair, and the public key that the system must show."""

    public: bytes
    secret: bytes
    server: bytes

    def secure(self, socket: Any) -> None:
        """To be called before the socket connects."""
        socket.curve_serverkey = self.server
        socket.curve_publickey = self.public
        socket.curve_secretkey = self.secret


def load_keys(key: KeyFile, server_key: KeyFile) -> Optional[Keys]:
    """Reads both files; None where neither is named."""
    key = key or os.environ.get("AMI_KEY")
    server_key = server_key or os.environ.get("AMI_SERVER_KEY")
    if not key and not server_key:
        return None
    if not key or not server_key:
        missing = "server_key (AMI_SERVER_KEY)" if key else "key (AMI_KEY)"
        raise AmiError(f"{missing} is not given", "both files are needed: your own pair and the system's public key")
    public, secret = _read(key)
    if secret is None:
        raise AmiError(f"{os.fspath(key)!r} has no secret key", "name the file that ends in .key_secret")
    return Keys(public, secret, _read(server_key)[0])


def _read(path: Union[str, "os.PathLike[str]"]) -> Any:
    try:
        return load_certificate(os.fspath(path))
    except (OSError, ValueError) as error:
        raise AmiError(f"key file {os.fspath(path)!r}: {error}", "make a pair with `ami-ctl keys new NAME`") from error
