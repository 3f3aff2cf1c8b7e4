"""Appends an output of a feature to an HDF5 file, a row per heartbeat."""

import argparse

import h5py
import numpy as np

from ami_client import Store

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("topic", help="graph/node")
parser.add_argument("file")
parser.add_argument("--output", help="which output; `value` or the only one unless given")
parser.add_argument("--address", help="run directory or tcp://host; AMI_RUN_DIR unless given")
parser.add_argument("--frames", type=int, help="stop after so many")
options = parser.parse_args()

with Store(options.address) as store, h5py.File(options.file, "a") as file:
    for count, feature in enumerate(store.subscribe(options.topic), 1):
        value = np.asarray(feature[options.output] if options.output else feature.value)
        for name, row in (("value", value), ("heartbeat", np.uint64(feature.heartbeat)), ("complete", feature.complete)):
            row = np.asarray(row)
            if name not in file:
                file.create_dataset(name, (0, *row.shape), row.dtype, maxshape=(None, *row.shape), chunks=True)
            file[name].resize(len(file[name]) + 1, axis=0)
            file[name][-1] = row
        file.flush()
        if count == options.frames:
            break
