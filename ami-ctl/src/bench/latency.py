"""Says how old a heartbeat's values are when a Python client has them.

Subscribes to everything of the graph `bench` at the store (argument 1), and prints, per heartbeat,
its number and the ns from the moment when its last event was made until its whole frame was here
and its header read. Ends when its standard input does.
"""

import json
import sys
import threading
import time

import zmq


def main():
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.connect(sys.argv[1])
    socket.setsockopt(zmq.SUBSCRIBE, b"bench/")
    print("ready", flush=True)
    made = {}
    out = []
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        if not socket.poll(50):
            continue
        frames = socket.recv_multipart(copy=False)
        topic = frames[0].bytes
        header = json.loads(frames[1].bytes)
        heartbeat = header["heartbeat"]
        if topic == b"bench/clock":
            made[heartbeat] = header["values"].get("value")
        elif topic == b"bench/@heartbeat":
            at = made.pop(heartbeat, None)
            if at is not None:
                out.append((heartbeat, time.time_ns() - at))
    for heartbeat, age in out:
        print(heartbeat, age)
    print("end", flush=True)


main()
