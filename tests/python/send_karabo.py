"""A karabo-bridge, written from the description of its protocol: for tests of what reads it.

`send_karabo.py ADDRESS REP|PUB|PUSH`: binds, says its port, and then does what lines of JSON on its standard
input say.
"""

import json
import struct
import sys
import time

import numpy as np
import zmq

PULSES = 4


def pack(value):
    """MessagePack, with types for bytes and text."""
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return b"\xcf" + value.to_bytes(8, "big") if value >= 0 else b"\xd3" + struct.pack(">q", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"\xdb" + struct.pack(">I", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    if isinstance(value, np.ndarray):
        kind = {b"nd": True, b"type": value.dtype.str, b"kind": b"", b"shape": list(value.shape),
                b"data": value.tobytes()}
        return pack(kind)
    if isinstance(value, (list, tuple)):
        return b"\xdd" + struct.pack(">I", len(value)) + b"".join(map(pack, value))
    entries = b"".join(pack(k) + pack(v) for k, v in value.items())
    return b"\xdf" + struct.pack(">I", len(value)) + entries


def metadata(source, train):
    return {"source": source, "timestamp": 1.7e9 + train / 10, "timestamp.sec": str(1_700_000_000 + train // 10),
            "timestamp.frac": f"{train % 10}" + "0" * 17, "timestamp.tid": train}


def detector(train):
    pixels = (train % 1000) * 10 + np.arange(PULSES * 6)
    return {"image.data": pixels.astype("<u2").reshape(PULSES, 2, 3), "gain": 1.5, "mode": "high",
            "image.pulseId": np.arange(PULSES, dtype="<u8") * 16}


def camera(train, side=128):
    return {"image": np.full((side, side), train % 1000, "<u2")}


def motor(train):
    return {"position.value": train / 2, "moves.value": train}


SOURCES = {"DET/A:output": detector, "MOTOR/1": motor, "CAM/1:output": camera}


def new(data):
    frames = []
    for source, (meta, values) in sorted(data.items()):
        plain = {k: v for k, v in values.items() if not isinstance(v, np.ndarray)}
        frames += [pack({"source": source, "content": "msgpack", "metadata": meta}), pack(plain)]
        for path, array in values.items():
            if isinstance(array, np.ndarray):
                frames += [pack({"source": source, "content": "array", "path": path,
                                 "dtype": str(array.dtype), "shape": list(array.shape)}), array.tobytes()]
    return frames


def old(data):
    return [pack({source: {**values, "metadata": meta} for source, (meta, values) in data.items()})]


class Bridge:
    def __init__(self, address, kind):
        self.kind = kind
        self.socket = zmq.Context().socket(getattr(zmq, "XPUB" if kind == "PUB" else kind))
        # With room for one, as bridges have, libzmq's REP loses answers to one who asks at once.
        self.socket.set_hwm(1 if kind != "REP" else 10)
        self.socket.linger = -1
        if kind == "PUB":
            # A real one drops what is not taken; a test counts.
            self.socket.setsockopt(zmq.XPUB_NODROP, 1)
        self.socket.bind(address)
        self.address = self.socket.last_endpoint.decode()
        self.subscribed = False

    def send(self, frames):
        if self.kind == "REP":
            request = self.socket.recv()
            assert request == b"next", request
        if self.kind == "PUB" and not self.subscribed:
            self.subscribed = self.socket.recv() == b"\x01"
        self.socket.send_multipart(frames, copy=False)

    def do(self, trains, sources=("DET/A:output", "MOTOR/1"), protocol="2.2", hz=0, skip=()):
        begin = time.time()
        for train in range(*trains):
            if hz:
                time.sleep(max(0, begin + (train - trains[0]) / hz - time.time()))
            if train not in skip:
                data = {s: (metadata(s, train), SOURCES[s](train)) for s in sources}
                self.send(new(data) if protocol == "2.2" else old(data))

    def golden(self, files, times):
        parts = [open(f, "rb").read() for f in files]
        for _ in range(times):
            self.send(parts)

    def refuse(self):
        """Answers as a bridge does that does not understand."""
        self.send([b"Error: bad request hello"])


def main():
    bridge = Bridge(*sys.argv[1:3])
    print(json.dumps({"address": bridge.address}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        name = order.pop("order", "do")
        getattr(bridge, name)(**order)
        print(json.dumps({"done": name}), flush=True)


if __name__ == "__main__":
    main()
