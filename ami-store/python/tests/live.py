"""A real system in a temporary directory, for tests. Used by tests/python as well."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

REPO = Path(__file__).resolve().parents[3]
BIN = Path(os.environ.get("AMI_BIN_DIR") or REPO / "target" / "debug")
DAEMONS = ("ami-ctl", "ami-ventilator", "ami-worker", "ami-collector", "ami-manager", "ami-store")


def missing() -> Optional[str]:
    """Why there is nothing to run, if so."""
    absent = [name for name in DAEMONS if not (BIN / name).exists()]
    return f"skipped: build first (no {', '.join(absent)} in {BIN})" if absent else None


class System:
    """`ami-ctl local` from its ready line until `stop`."""

    def __init__(self, source: str, graph: Optional[Dict[str, Any]] = None, workers: int = 2, options: Sequence[str] = ()) -> None:
        # Short: an ipc path has at most 107 bytes.
        self.run_dir = Path(tempfile.mkdtemp(prefix="ami-py-", dir="/tmp"))
        command = [str(BIN / "ami-ctl"), "local", "--source", source, "--workers", str(workers), "--json"]
        command += ["--run-dir", str(self.run_dir)]
        for option in options:
            command += ["--set", option]
        if graph is not None:
            path = self.run_dir / "graph.json"
            path.write_text(json.dumps(graph))
            command += ["--graph", str(path)]
        self.errors = (self.run_dir / "ami-ctl.stderr").open("w+")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.errors, text=True)
        try:
            self.ready: Dict[str, Any] = json.loads(self._line(60))
        except BaseException:
            self.stop()
            raise

    def _line(self, seconds: float) -> str:
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], seconds)
        line = self.process.stdout.readline() if readable else ""
        if not line:
            self.errors.seek(0)
            raise AssertionError(f"no ready line within {seconds} s: {self.errors.read()}")
        return line

    def stop(self) -> None:
        """Stops it and removes what it left; it is killed if it does not stop."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()
        shutil.rmtree(self.run_dir, ignore_errors=True)

    def __enter__(self) -> "System":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def until(condition: Any, seconds: float = 20.0, what: str = "") -> Any:
    """The condition's first true value; a refusal by the client counts as not yet."""
    from ami_client import AmiError

    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            last = condition()
            if last:
                return last
        except AmiError as error:
            last = error
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}; last: {last!r}")
