"""Any program is a source: sends ten events to `zmq:tcp://127.0.0.1:5590` and waits until each was taken.

`send_events.py tcp://127.0.0.1:5590 [EVENTS]`
"""

import json
import sys

import numpy as np
import zmq

socket = zmq.Context.instance().socket(zmq.REQ)
socket.connect(sys.argv[1])
for n in range(int(sys.argv[2]) if len(sys.argv) > 2 else 10):
    image = np.full((4, 8), n, "<u2")
    array = {"name": "image", "dtype": image.dtype.str, "shape": image.shape}
    header = {"values": {"n": n, "energy": n / 2}, "arrays": [array]}
    socket.send_multipart([json.dumps(header).encode(), image])
    answer = socket.recv_json()
    if not answer.get("ok"):
        sys.exit(f"{answer['error']}; {answer['hint']}")
print("taken:", n + 1)
