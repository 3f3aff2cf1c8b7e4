"""Says what a Python client sees of a run, and how old a heartbeat's values are when it has them.

Subscribes to everything of the graph `bench` at the store (argument 1). When its standard input
ends it prints one JSON document: wall clock and events merged at the first and the last value,
heartbeats and complete ones, and per heartbeat its number and the ns from the moment when its last
event was made until a value was here and read, and until its whole frame was.
"""

import json
import sys
import threading
import time

import zmq


def main():
    decode = json.JSONDecoder().raw_decode  # As `ami_client` does: `json.loads` does more first.
    socket = zmq.Context().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RECONNECT_IVL, 20)
    socket.setsockopt(zmq.RCVTIMEO, 50)
    socket.connect(sys.argv[1])
    socket.setsockopt(zmq.SUBSCRIBE, b"bench/")
    print("ready", flush=True)
    seen = {"first": None, "last": None, "heartbeats": 0, "complete": 0, "values": [], "latencies": []}
    made = {}
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    while not ended.is_set():
        try:
            topic, header, *_ = receive(socket)
        except zmq.Again:
            continue
        header, _ = decode(header.bytes.decode())
        now = time.time_ns()
        heartbeat = header["heartbeat"]
        if topic.bytes == b"bench/n":
            seen["last"] = (now, header["window_events"])
            seen["first"] = seen["first"] or seen["last"]
        elif topic.bytes == b"bench/clock":
            made[heartbeat] = at = header["values"].get("value")
            if at is not None:
                seen["values"].append((heartbeat, now - at))
        elif topic.bytes == b"bench/@heartbeat":
            seen["heartbeats"] += 1
            seen["complete"] += header["complete"]
            at = made.pop(heartbeat, None)
            if at is not None:
                seen["latencies"].append((heartbeat, now - at))
    print(json.dumps(seen), flush=True)


def receive(socket):
    """The frames of a message, as `ami_client` takes them: `recv_multipart` is a slower loop in Python."""
    frames = [socket.recv(copy=False)]
    while frames[-1].more:
        frames.append(socket.recv(copy=False))
    return frames


main()
