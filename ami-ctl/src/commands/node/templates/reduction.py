"""What this node is for, in a line: `ami-ctl` and the web page show it."""

import numpy as np

from ami_node import Reduction


class NAME(Reduction):
    """Mean and spread of an image's columns over the events of a window.

    Parameters
    ----------
    offset : taken from every pixel
    """

    # Declared as numpy writes types, with the shape behind: "f8", "u2[1024, 1024]", "f4[:, :]" or "str".
    outputs = {"mean": "f8[:]", "spread": "f8[:]", "count": "i8"}

    # Parameters can be set while it runs: `ami-ctl graph set GRAPH NODE offset=100`. That begins the window anew.
    def __init__(self, *, offset=0.0):
        self.offset = offset

    def start(self):
        # The state is a dict of numbers, texts and arrays. Each worker has its own.
        return {"sum": 0.0, "squares": 0.0, "count": 0}

    def absorb(self, state, image):
        # Called for each event. The image is read-only memory that is used again: copy what you keep.
        profile = image.mean(axis=0) - self.offset
        state["sum"] = state["sum"] + profile
        state["squares"] = state["squares"] + profile * profile
        state["count"] += 1

    # How the states of two workers become one. Without it everything is added, which is right here. Whatever it does,
    # the result must not depend on how events are spread over workers: `ami-ctl node check` tries that.
    # def merge(self, state, other):
    #     return {key: state[key] + other[key] for key in state}

    def finish(self, state):
        # In the order of `outputs`; None: no value.
        if not state["count"]:
            return None
        mean = state["sum"] / state["count"]
        return mean, np.sqrt(np.maximum(state["squares"] / state["count"] - mean * mean, 0)), state["count"]
