"""What `Root.update` is told of the heartbeat whose values it gets."""

from typing import Any, Dict


class Frame(Dict[str, Any]):
    """Run, step, heartbeat, version, complete, events, expected and so on: `frame["run"]` or `frame.run`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(sorted(self))
            raise AttributeError(f"a frame has no {name!r}; it has {known}") from None
