"""What this node is for, in a line: `ami-ctl` and the web page show it."""

import numpy as np

from ami_node import per_event


# Outputs are declared as numpy writes types, with the shape behind: "f8", "u2[1024, 1024]", "f4[:, :]" or "str".
@per_event(outputs={"profile": "f8[:]", "total": "f8"})
def NAME(image, *, threshold=110.0):
    """Sums what lies above a threshold.

    Parameters
    ----------
    threshold : pixels below it count as 0
    """
    # Called for each event. Inputs (before the `*`) are named in the graph; parameters (behind it) can be set while
    # it runs: `ami-ctl graph set GRAPH NODE threshold=120`. Inputs are read-only: copy what you want to change.
    kept = np.where(image > threshold, image, 0.0)
    # In the order of `outputs`; None: this event has no value. What raises is counted, the other events go on.
    return kept.sum(axis=0), kept.sum()
