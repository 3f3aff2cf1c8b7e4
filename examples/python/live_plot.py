"""A feature, drawn live: a histogram or profile over its edges, an image, or a curve."""

import argparse

import matplotlib.pyplot as plt
import numpy as np

from ami_client import Store

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("topic", help="graph/node")
parser.add_argument("--address", help="run directory or tcp://host; AMI_RUN_DIR unless given")
parser.add_argument("--frames", type=int, help="stop after so many")
options = parser.parse_args()

trend = []
with Store(options.address) as store:
    for count, feature in enumerate(store.subscribe(options.topic), 1):
        names = [n for n in ("value", "counts", "mean") if n in feature]
        value = np.asarray(feature[names[0]] if names else feature.value)
        plt.clf()
        if value.ndim == 0:
            trend = (trend + [float(value)])[-500:]
            plt.plot(trend)
        elif value.ndim == 1 and "edges" in feature:
            plt.stairs(value, feature["edges"])
        elif value.ndim == 1:
            plt.plot(value)
        else:
            plt.imshow(value.reshape(-1, value.shape[-1]), aspect="auto")
        truth = "complete" if feature.window_complete else f"INCOMPLETE, lost: {feature.window_dropped}"
        plt.title(f"{feature.topic}: {feature.window_events} events, {truth}")
        plt.pause(0.01)
        if count == options.frames:
            break
