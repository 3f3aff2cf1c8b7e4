"""What this node is for, in a line: `ami-ctl` and the web page show it."""

import logging

import numpy as np

from ami_node import Root


class NAME(Root):
    """Looks at published values, beside the data path: it may be slow, write files and ask web services.

    Parameters
    ----------
    limit : above it a line goes to the log
    """

    # Declared as numpy writes types, with the shape behind: "f8", "u2[1024, 1024]", "f4[:, :]" or "str".
    outputs = {"peak": "f8", "at": "i8"}
    # At most once in so many seconds; None: each heartbeat.
    every = 1.0

    # Parameters can be set while it runs: `ami-ctl graph set GRAPH NODE limit=100`.
    def __init__(self, *, limit=1e9):
        self.limit = limit

    def update(self, frame, image):
        # `frame` says what the values are of: run, step, heartbeat, version, events, complete and more. An input
        # without a value is None. Instances live as long as the node does not change: keep what you need in `self`.
        if image is None:
            return None
        peak = float(image.max())
        if peak > self.limit:
            logging.warning("run %s, heartbeat %s: peak %s", frame["run"], frame["heartbeat"], peak)
        # In the order of `outputs`; None: no value.
        return peak, int(np.argmax(image))
