"""The client of the store."""

from __future__ import annotations

import weakref
from itertools import islice
from typing import Any, Dict, List, Optional

from .address import Address, store_endpoints
from .errors import AmiError
from .feature import Feature
from .keys import KeyFile, load_keys
from .request import Client, Requester, decode
from .subscription import Subscription


class Store(Client):
    """Reads features: the newest, whole frames, histories, and live.

    Threads may share a store; each needs a subscription of its own.
    """

    def __init__(
        self,
        run_dir_or_address: Address = None,
        query: Optional[str] = None,
        timeout: float = 5.0,
        key: KeyFile = None,
        server_key: KeyFile = None,
    ) -> None:
        """Connects; nothing is asked yet.

        Args:
            run_dir_or_address: run directory, or "tcp://host", "tcp://host:port" (of the features),
                "ipc://directory". AMI_RUN_DIR unless given.
            query: endpoint of the queries, if not the usual one beside the features: `store.query`
                in the same directory, or the next port.
            timeout: longest wait for an answer, seconds.
            key: your own pair (NAME.key_secret), for a system that asks for keys. AMI_KEY unless given.
            server_key: the system's public key. AMI_SERVER_KEY unless given.
        """
        self._keys = load_keys(key, server_key)
        self.pub_endpoint, self.query_endpoint = store_endpoints(run_dir_or_address, query)
        self._requests = Requester(self.query_endpoint, timeout, "ami-store", self._keys)
        self._subscriptions: "weakref.WeakSet[Subscription]" = weakref.WeakSet()

    def get(self, topic: str) -> Feature:
        """The newest value of `graph/node`."""
        frames = self._requests.ask({"get": topic})
        return Feature(decode(frames[0], self.query_endpoint), frames[1:])

    def snapshot(self, graph: str) -> Dict[str, Feature]:
        """All features of the graph's newest finished heartbeat, by topic."""
        return {f.topic: f for f in self._several({"snapshot": graph})}

    def history(self, topic: str, since_heartbeat: int = 0, limit: int = 100) -> List[Feature]:
        """What the store still has of a topic, oldest first.

        Args:
            topic: `graph/node`, or `graph/@heartbeat`.
            since_heartbeat: none older than this.
            limit: the newest so many.
        """
        return self._several({"history": topic, "since_heartbeat": int(since_heartbeat), "limit": int(limit)})

    def list(self, prefix: str = "") -> List[Dict[str, Any]]:
        """What is published: a dict for each topic that begins with `prefix`.

        Keys: topic, seq, heartbeat, version, op, window, arrays (name, dtype, shape of each), values
        (names), complete, error, age_ms (milliseconds since the store received it).
        """
        frames = self._requests.ask({"list": prefix})
        listed: List[Dict[str, Any]] = decode(frames[0], self.query_endpoint)
        return listed

    def subscribe(self, *topics: str, timeout: Optional[float] = None) -> Subscription:
        """Features as they are published, the newest value of each at once.

        Args:
            topics: `graph/node`; or all beneath `graph/`, or `graph/sc*` (and none, "" or "*": all).
                Exact names unless they end in "/" or "*". `graph/@heartbeat` closes each frame.
            timeout: the iterator ends after so many seconds without anything; never unless given.

        Raises:
            AmiError: there is no store to subscribe to.
        """
        subscription = Subscription(self.pub_endpoint, topics or ("",), timeout, self._keys)
        try:
            # A PUB socket never says that nobody is there; an answer to a query does.
            self._requests.ask({"list": "\x00"})
        except AmiError:
            subscription.close()
            raise
        self._subscriptions.add(subscription)
        return subscription

    def close(self) -> None:
        """Closes the connections and ends all subscriptions; call it in their thread."""
        super().close()
        for subscription in list(self._subscriptions):
            subscription.close()

    def __repr__(self) -> str:
        return f"<Store {self.pub_endpoint} {self.query_endpoint}>"

    def _several(self, request: Dict[str, Any]) -> List[Feature]:
        """A list of headers, then the buffers of all."""
        frames = self._requests.ask(request)
        buffers = iter(frames[1:])
        features = []
        for header in decode(frames[0], self.query_endpoint):
            count = len(header.get("arrays") or [])
            features.append(Feature(header, list(islice(buffers, count))))
        return features
