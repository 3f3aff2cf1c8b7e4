"""An image processor in PvaPy's form, and the lines that make it a node of a graph."""

import numpy as np
from ami_node.compat.pvapy import from_pvapy, stand_in

stand_in()  # where PvaPy is not installed, its names come from here
from pvapy.hpc.adImageProcessor import AdImageProcessor  # noqa: E402


class DarkSubtraction(AdImageProcessor):
    """Subtracts a pedestal from each image, and leaves out what is not above the noise."""

    def __init__(self, configDict={}):
        super().__init__(configDict)
        self.pedestal, self.noise = 0, 0
        self.nFramesProcessed, self.brightest = 0, 0
        self.configure(configDict)

    def configure(self, configDict):
        self.pedestal = configDict.get("pedestal", self.pedestal)
        self.noise = configDict.get("noise", self.noise)

    def process(self, pvObject):
        frameId, image, nx, ny, nz, colorMode, fieldKey = self.reshapeNtNdArray(pvObject)
        if nx is None:
            return pvObject
        signal = np.where(image > self.pedestal + self.noise, image - self.pedestal, 0).astype(image.dtype)
        self.nFramesProcessed += 1
        self.brightest = signal.max()
        processed = self.replaceNtNdArrayImage2D(pvObject, frameId, signal)
        self.updateOutputChannel(processed)
        return processed

    def resetStats(self):
        self.nFramesProcessed = 0

    def getStats(self):
        return {"nFramesProcessed": self.nFramesProcessed, "brightest": self.brightest}


dark_subtraction = from_pvapy(
    DarkSubtraction,
    {"image": "u2[:, :]", "uniqueId": "u8", "brightest": "u2"},
    inputs=["image", "uniqueId", "timeStamp"],
    config={"pedestal": 100, "noise": 20},
)
