"""A detector of DECTRIS, written from the description of its streams: for tests of what reads them.

Binds a PUSH socket and says its port. Then it does what lines of JSON on its standard input say, and
answers each with a line.
"""

import json
import struct
import sys
import time

import numpy as np
import zmq


def pixels(frame, rows, columns):
    i = np.arange(rows * columns, dtype=np.uint64)
    return ((i * 31 + frame * 7) % 1000 * (i % 3 == 0)).astype("<u2").reshape(rows, columns)


def literals(data):
    """An LZ4 block of nothing but literals."""
    out = bytearray([min(len(data), 15) << 4])
    rest = len(data) - 15
    if rest >= 0:
        out += b"\xff" * (rest // 255) + bytes([rest % 255])
    return bytes(out) + data


def planes(block, size):
    elements = np.frombuffer(block, "u1").reshape(-1, size)
    bits = np.unpackbits(elements, axis=1, bitorder="little")
    return np.packbits(bits.T, axis=1, bitorder="little").tobytes()


def framed(data, size, shuffle):
    whole = len(data) // (8 * size) * 8 * size if shuffle else len(data)
    blocks = [data[at:min(at + 8192, whole)] for at in range(0, whole, 8192)]
    blocks = [literals(planes(b, size) if shuffle else b) for b in blocks]
    head = struct.pack(">QI", len(data), 8192)
    return head + b"".join(struct.pack(">I", len(b)) + b for b in blocks) + data[whole:]


def cbor_head(major, n):
    for code, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 24:
            return bytes([major << 5 | n])
        if n < 1 << 8 * size:
            return bytes([major << 5 | code]) + n.to_bytes(size, "big")


class Tag:
    def __init__(self, number, value):
        self.number, self.value = number, value


def cbor(value):
    if isinstance(value, bool):
        return bytes([0xF4 + value])
    if isinstance(value, int):
        return cbor_head(0, value) if value >= 0 else cbor_head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return cbor_head(2, len(value)) + value
    if isinstance(value, str):
        return cbor_head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return cbor_head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        return b"\xbf" + b"".join(cbor(k) + cbor(v) for k, v in value.items()) + b"\xff"
    return cbor_head(6, value.number) + cbor(value.value)


class Detector:
    def __init__(self, address):
        self.socket = zmq.Context().socket(zmq.PUSH)
        self.socket.linger = -1
        self.socket.bind(address)
        self.address = self.socket.last_endpoint.decode()
        self.made = {}

    def send(self, *parts):
        parts = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in parts]
        self.socket.send_multipart(parts, copy=False)

    def v1_header(self, series, rows, columns, images, **_):
        config = {"bit_depth_image": 16, "x_pixels_in_detector": columns, "y_pixels_in_detector": rows,
                  "nimages": images, "photon_energy": 12398.4, "description": "made", "ntrigger": 1}
        self.send({"htype": "dheader-1.0", "series": series, "header_detail": "basic"}, config)

    def v1_image(self, series, frame, rows, columns, packing):
        key = 1, frame, rows, columns, packing
        if key not in self.made:
            data = pixels(frame, rows, columns).tobytes()
            self.made[key] = {
                "raw": ("<", lambda: data), "lz4": ("lz4<", lambda: literals(data)),
                "bslz4": ("bs16-lz4<", lambda: framed(data, 2, True)),
            }[packing]
            self.made[key] = self.made[key][0], self.made[key][1]()
        encoding, blob = self.made[key]
        self.send({"htype": "dimage-1.0", "series": series, "frame": frame, "hash": ""},
                  {"htype": "dimage_d-1.0", "shape": [columns, rows], "type": "uint16",
                   "encoding": encoding, "size": len(blob)}, blob,
                  {"htype": "dconfig-1.0", "start_time": frame * 1_000_000,
                   "stop_time": frame * 1_000_000 + 900_000, "real_time": 900_000})

    def v1_end(self, series):
        self.send({"htype": "dseries_end-1.0", "series": series})

    def v2_header(self, series, rows, columns, images, channels):
        mask = np.zeros((rows, columns), "<u4").tobytes()
        self.send(cbor({
            "type": "start", "series_id": series, "series_unique_id": "made", "number_of_images": images,
            "arm_date": Tag(0, self.date()), "channels": channels, "image_dtype": "uint16",
            "image_size_x": columns, "image_size_y": rows, "incident_energy": 12398.4,
            "pixel_mask": {channels[0]: Tag(40, [[rows, columns], Tag(70, mask)])},
        }))

    def date(self):
        self.began = getattr(self, "began", time.time())
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.began)) + "+00:00"

    def v2_image(self, series, frame, rows, columns, packing, channels):
        key = 2, frame, rows, columns, packing
        if key not in self.made:
            data = {}
            for k, channel in enumerate(channels):
                raw = pixels(frame + k, rows, columns).tobytes()
                typed = {"raw": lambda: raw,
                         "lz4": lambda: Tag(56500, ["lz4", 0, framed(raw, 2, False)]),
                         "bslz4": lambda: Tag(56500, ["bslz4", 2, framed(raw, 2, True)])}[packing]()
                data[channel] = Tag(40, [[rows, columns], Tag(69, typed)])
            self.made[key] = cbor({"type": "image", "image_id": frame,
                                   "start_time": [frame * 50_000, 50_000_000], "data": data})[:-1]
        more = cbor({"series_id": series, "series_date": Tag(0, self.date())})[1:]
        self.send(self.made[key] + more)

    def v2_end(self, series):
        self.send(cbor({"type": "end", "series_id": series, "series_unique_id": "made"}))

    def golden(self, files, times):
        parts = [open(f, "rb").read() for f in files]
        for _ in range(times):
            self.send(*parts)

    def do(self, version, series, frames, rows=32, columns=40, packing="bslz4", hz=0, header=True,
           end=True, kinds=None, channels=("threshold_1", "threshold_2"), skip=()):
        """A series, or a part of one: frames from the first to before the last."""
        own = {"channels": list(channels)} if version == 2 else {}
        call = lambda name: getattr(self, f"v{version}_{name}")
        if header:
            call("header")(series=series, rows=rows, columns=columns, images=frames[1], **own)
        begin = time.time()
        for n in range(*frames):
            if hz:
                time.sleep(max(0, begin + (n - frames[0]) / hz - time.time()))
            if n not in skip:
                # Few are made and many sent.
                made = n % kinds if kinds else n
                if version == 1 and kinds:
                    self.v1_kind(series, n, made, rows, columns, packing)
                else:
                    call("image")(series=series, frame=n, rows=rows, columns=columns, packing=packing, **own)
        if end:
            call("end")(series)

    def v1_kind(self, series, frame, made, rows, columns, packing):
        """An image with the pixels of another."""
        key = "kind", made, rows, columns
        if key not in self.made:
            data = pixels(made, rows, columns).tobytes()
            self.made[key] = "bs16-lz4<", framed(data, 2, True)
        encoding, blob = self.made[key]
        self.send({"htype": "dimage-1.0", "series": series, "frame": frame, "hash": ""},
                  {"htype": "dimage_d-1.0", "shape": [columns, rows], "type": "uint16",
                   "encoding": encoding}, blob,
                  {"htype": "dconfig-1.0", "start_time": frame * 100_000, "stop_time": 0, "real_time": 0})


def main():
    detector = Detector(sys.argv[1])
    print(json.dumps({"address": detector.address}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        name = order.pop("order", "do")
        getattr(detector, name)(**order)
        print(json.dumps({"done": name}), flush=True)


if __name__ == "__main__":
    main()
