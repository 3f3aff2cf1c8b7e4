"""A program that sends events in every way there is: for tests of what takes them.

`send_events.py ADDRESS REQ|DEALER|PUSH|PUB`: connects (PUB binds), and then does what lines of JSON on its
standard input say.
"""

import json
import sys

import numpy as np
import zmq


class Program:
    def __init__(self, address, kind):
        self.kind = kind
        self.socket = zmq.Context().socket(getattr(zmq, "XPUB" if kind == "PUB" else kind))
        self.socket.linger = -1
        self.address = address
        if kind == "PUB":
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
            self.socket.bind(address)
            self.address = self.socket.last_endpoint.decode()
        else:
            self.socket.connect(address)
        self.subscribed = kind != "PUB"

    def send(self, header, *buffers):
        if not self.subscribed:
            self.subscribed = self.socket.recv() == b"\x01"
        self.socket.send_multipart([json.dumps(header).encode(), *buffers], copy=False)

    def do(self, events, side=8, stamps=True):
        """Sends events; where they are answered, how the answers were."""
        answers = []
        for n in range(*events):
            image = np.full((side, side), n % 1000, "<u2")
            header = {"id": n, "values": {"n": n, "half": n / 2},
                      "arrays": [{"name": "image", "dtype": "<u2", "shape": image.shape}]}
            if stamps:
                header["timestamp_ns"] = 1_700_000_000_000_000_000 + n * 1_000_000
            self.send(header, image.tobytes())
            if self.kind == "REQ":
                answers.append(self.socket.recv_json())
        if self.kind == "DEALER":
            answers = [self.socket.recv_json() for _ in range(*events)]
        return {"answered": [a.get("id") for a in answers], "dropped": sum("dropped" in a for a in answers)}

    def mistake(self):
        """Sends what is no event."""
        self.send({"values": {"n": 1}, "arrays": [{"name": "a", "dtype": "<f8", "shape": [2]}]})
        return self.socket.recv_json()


def main():
    program = Program(*sys.argv[1:3])
    print(json.dumps({"address": program.address}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        name = order.pop("order", "do")
        print(json.dumps(getattr(program, name)(**order) or {}), flush=True)


if __name__ == "__main__":
    main()
