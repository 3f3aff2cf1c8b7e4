import numpy as np
from ami_node import PerEvent, per_event


@per_event(outputs={"y": "f8"})
def one(x, y):
    return x * x + y


class Nothing(PerEvent):
    outputs = {"y": "f8"}

    def batch(self, x, y):
        return x


class Many(PerEvent):
    outputs = {"y": "f8"}

    def batch(self, x, y):
        return np.sqrt(x * x + y * y) + np.exp(-x)


class Image(PerEvent):
    outputs = {"y": "f8"}

    def batch(self, image):
        return image.sum(axis=(1, 2), dtype="u8").astype("f8")
