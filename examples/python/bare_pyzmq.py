"""Five lines of pyzmq, no ami_client: prints three messages. `bare_pyzmq.py ipc://RUN_DIR/store.pub [TOPIC]`"""

import json
import sys

import numpy as np
import zmq

socket = zmq.Context.instance().socket(zmq.SUB)
socket.connect(sys.argv[1])
socket.subscribe(sys.argv[2] if len(sys.argv) > 2 else "")
for topic, header, *buffers in (socket.recv_multipart() for _ in range(3)):
    arrays = zip(json.loads(header)["arrays"], buffers)
    print(topic.decode(), {a["name"]: np.frombuffer(b, a["dtype"]).reshape(a["shape"]) for a, b in arrays})
