"""A monitor for serial crystallography in OM's form, and the two lines that make it nodes of a graph."""

from collections import deque

import numpy as np
from ami_node.compat.om import collect_om, from_om

MOST_PEAKS = 64


class CrystallographyMonitor:
    """Finds Bragg peaks in each image; collects the hit rate and a virtual powder pattern."""

    def __init__(self, *, monitor_parameters):
        self._parameters = monitor_parameters

    def _get(self, name):
        return self._parameters.get_parameter(group="crystallography", parameter=name, required=True)

    def initialize_processing_node(self, *, node_rank, node_pool_size):
        self._threshold = self._get("adc_threshold")
        self._least = self._get("min_peak_intensity")

    def initialize_collecting_node(self, *, node_rank, node_pool_size):
        self._fewest_peaks = self._get("min_num_peaks_for_hit")
        window = self._get("running_average_window_size")
        self._hits = deque([0] * window, maxlen=window)
        self._hit_rate = 0.0
        self._powder = np.zeros(self._get("shape"))
        self._events = 0

    def process_data(self, *, node_rank, node_pool_size, data):
        peaks = find_peaks(data["detector_data"], self._threshold, self._least)
        processed = {"timestamp": data["timestamp"], "num_peaks": min(len(peaks), MOST_PEAKS)}
        # Padded to one length, so that the peaks of many events make one array.
        padded = np.zeros((MOST_PEAKS, 3))
        padded[: len(peaks)] = peaks[:MOST_PEAKS]
        processed["ss"], processed["fs"], processed["intensity"] = padded.T
        return processed, node_rank

    def collect_data(self, *, node_rank, node_pool_size, processed_data):
        received, _ = processed_data
        count = int(received["num_peaks"])
        self._events += 1
        self._hits.append(count >= self._fewest_peaks)
        self._hit_rate = sum(self._hits) / len(self._hits) * 100
        ss, fs = ((received[axis][:count] + 0.5).astype(int) for axis in ("ss", "fs"))
        np.add.at(self._powder, (ss, fs), received["intensity"][:count])

    def wait_for_data(self, *, node_rank, node_pool_size):
        pass

    def end_processing_on_processing_node(self, *, node_rank, node_pool_size):
        print("Processing finished.")

    def end_processing_on_collecting_node(self, *, node_rank, node_pool_size):
        print(f"Processing finished. {self._events} events in total.")


def find_peaks(image, threshold, least):
    """Bright pixels that touch, also at corners, are a peak: rows of (ss, fs, intensity)."""
    ss, fs = np.nonzero(image > threshold)
    values = image[ss, fs].astype(float)
    touch = (abs(ss[:, None] - ss) <= 1) & (abs(fs[:, None] - fs) <= 1)
    label = np.arange(len(ss))
    while True:  # a pixel takes the smallest label of those it touches
        spread = np.where(touch, label, len(label)).min(axis=1, initial=len(label))
        if (spread == label).all():
            break
        label = spread
    _, label = np.unique(label, return_inverse=True)
    intensity = np.bincount(label, values)
    peaks = [np.bincount(label, values * ss) / intensity, np.bincount(label, values * fs) / intensity, intensity]
    return np.stack(peaks, axis=1)[intensity >= least]


PARAMETERS = {
    "crystallography": {
        "adc_threshold": 250,
        "min_peak_intensity": 600,
        "min_num_peaks_for_hit": 10,
        "running_average_window_size": 200,
        "shape": (128, 128),
    }
}

processing = from_om(
    CrystallographyMonitor,
    {"num_peaks": "i8", "ss": "f8[64]", "fs": "f8[64]", "intensity": "f8[64]"},
    data=["timestamp", "detector_data"],
    parameters=PARAMETERS,
)
collecting = collect_om(
    CrystallographyMonitor,
    {"events": "i8", "hit_rate": "f8", "powder": "f8[:, :]"},
    data=["timestamp", "num_peaks", "ss", "fs", "intensity"],
    parameters=PARAMETERS,
)
