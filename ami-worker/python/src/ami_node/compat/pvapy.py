"""Processors of PvaPy's streaming framework: `process(pvObject)` for each image."""

from __future__ import annotations

import importlib
import logging
import sys
import time
from types import ModuleType
from typing import Any, Callable, Dict, Mapping, Optional, Sequence, Tuple

import numpy as np

from ..node import PerEvent
from .making import make, optional, own, with_inputs, with_params

_FIELDS = {
    "u1": "ubyteValue", "i1": "byteValue", "u2": "ushortValue", "i2": "shortValue", "u4": "uintValue", "i4": "intValue",
    "u8": "ulongValue", "i8": "longValue", "f4": "floatValue", "f8": "doubleValue", "b1": "booleanValue",
}  # fmt: skip


class NtNdArray(Dict[str, Any]):
    """An image as PvaPy gives it: a dict with the fields of an NTNDArray.

    `["value"][0]["ushortValue"]` is the flat array, `["dimension"]` its sizes, the fastest first.
    """

    def __init__(
        self, image: Any = None, unique_id: int = 0, timestamp_ns: int = 0, attributes: Optional[Mapping[str, Any]] = None
    ) -> None:
        seconds, nanoseconds = divmod(int(timestamp_ns), 10**9)
        stamp = {"secondsPastEpoch": seconds, "nanoseconds": nanoseconds, "userTag": 0}
        # 0 is mono; the attribute is one that processors look for.
        named = {"ColorMode": 0, **(attributes or {})}
        super().__init__(
            uniqueId=unique_id, timeStamp=stamp, dataTimeStamp=dict(stamp), codec={"name": ""}, value=({},), dimension=[],
            attribute=[{"name": name, "value": ({"value": value},)} for name, value in named.items()],
        )  # fmt: skip
        if image is not None:
            self.set_image(np.asarray(image))

    def set_image(self, image: np.ndarray) -> None:
        self["value"] = ({_FIELDS[image.dtype.str[1:]]: image.reshape(-1)},)
        self["dimension"] = [
            {"size": n, "offset": 0, "fullSize": n, "binning": 1, "reverse": False} for n in reversed(image.shape)
        ]
        self["uncompressedSize"] = self["compressedSize"] = image.nbytes

    def image(self) -> Optional[np.ndarray]:
        """The array in its shape; None if it is empty."""
        return image_of(self)


def image_of(pv_object: Any) -> Optional[np.ndarray]:
    """The image of an NTNDArray, of this module or of PvaPy."""
    shape = tuple(d["size"] for d in reversed(list(pv_object["dimension"])))
    for flat in pv_object["value"][0].values():
        return np.asarray(flat).reshape(shape) if shape else None
    return None


class UserDataProcessor:
    """What processors derive from, where PvaPy itself is not installed."""

    def __init__(self, configDict: Mapping[str, Any] = {}) -> None:  # noqa: B006, N803: as PvaPy has it
        self.logger = logging.getLogger(type(self).__name__)
        self.processorId = configDict.get("processorId", 1)
        self.inputChannel = configDict.get("inputChannel", "")
        self.outputChannel = configDict.get("outputChannel", "")
        self.objectIdField = configDict.get("objectIdField", "uniqueId")
        self.pvaServer = None
        self.metadataQueueMap: Dict[str, Any] = {}

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def configure(self, configDict: Any) -> None: ...  # noqa: N803
    def resetStats(self) -> None: ...
    def getStats(self) -> Dict[str, Any]:
        return {}

    def getStatsPvaTypes(self) -> Dict[str, Any]:
        return {}

    def updateOutputChannel(self, pvObject: Any) -> None: ...  # noqa: N803

    def process(self, pvObject: Any) -> Any:  # noqa: N803
        self.updateOutputChannel(pvObject)
        return pvObject


class AdImageProcessor(UserDataProcessor):
    """The base for images."""

    @classmethod
    def reshapeNtNdArray(cls, ntNdArray: Any) -> Tuple[Any, ...]:  # noqa: N803
        """(id, image, nx, ny, nz, colour mode, field) of a mono image; all but the id None if it is empty."""
        image = image_of(ntNdArray)
        if image is None:
            return (ntNdArray["uniqueId"], None, None, None, None, None, None)
        return (ntNdArray["uniqueId"], image, image.shape[-1], image.shape[-2], None, 0, next(iter(ntNdArray["value"][0])))

    @classmethod
    def generateNtNdArray2D(cls, imageId: int, image: Any, extraFieldsPvObject: Any = None) -> NtNdArray:  # noqa: N803
        made = NtNdArray(image, imageId, time.time_ns())
        made.update(extraFieldsPvObject or {})
        return made

    @classmethod
    def replaceNtNdArrayImage2D(cls, ntNdArray: Any, imageId: int, image: Any, extraFieldsPvObject: Any = None) -> Any:  # noqa: N803
        ntNdArray.set_image(np.asarray(image))
        ntNdArray["uniqueId"] = imageId
        ntNdArray.update(extraFieldsPvObject or {})
        return ntNdArray


class FloatWithUnits(float):
    """A number that is printed with its unit."""

    def __new__(cls, value: float, units: str = "", *_: Any) -> FloatWithUnits:
        made = super().__new__(cls, value)
        made.units = units
        return made

    units: str

    def __repr__(self) -> str:
        return f"{float(self)}{self.units}"


def stand_in() -> None:
    """Lets a processor's imports of `pvaccess` and `pvapy` succeed where PvaPy is not installed."""
    try:
        importlib.import_module("pvaccess")
    except ImportError:
        types = ("BOOLEAN", "BYTE", "UBYTE", "SHORT", "USHORT", "INT", "UINT", "LONG", "ULONG", "FLOAT", "DOUBLE", "STRING")
        _module("pvaccess", NtNdArray=NtNdArray, **{name: name for name in types})
        _module("pvapy")
        _module("pvapy.hpc")
        _module("pvapy.hpc.userDataProcessor", UserDataProcessor=UserDataProcessor)
        _module("pvapy.hpc.adImageProcessor", AdImageProcessor=AdImageProcessor)
        _module("pvapy.utility")
        _module("pvapy.utility.floatWithUnits", FloatWithUnits=FloatWithUnits)


def _module(name: str, **names: Any) -> None:
    module = ModuleType(name)
    module.__dict__.update(names, __path__=[])
    sys.modules[name] = module


def from_pvapy(
    processor: Any,
    outputs: Mapping[str, str],
    *,
    inputs: Sequence[str] = ("image",),
    config: Optional[Mapping[str, Any]] = None,
    copy: bool = False,
    split_dependent: bool = False,
) -> Any:
    """A per-event node of a class with `process(pvObject)`.

    Args:
        processor: the class; it is made with a configDict of `config` and the node's parameters, and
            `configure` gets those parameters that a graph sets.
        outputs: names and types. A name that `getStats` has is this statistic; an array is the image
            of the object that `process` returned, or published last; any other a field of it.
        inputs: their names. The first is the image; `uniqueId` and `timeStamp` (nanoseconds since
            1970) become these fields, others become attributes.
        config: keys of the configDict with their values; they are parameters of the node.
        copy: give an image that it may write to.
        split_dependent: it keeps something from event to event; statistics do.
    """
    defaults = dict(config or {})
    shaped = {name: "[" in text for name, text in outputs.items()}

    def event(self: Any, image: Any, *more: Any) -> Any:
        named = dict(zip(inputs[1:], more))
        self._count += 1
        pv_object = NtNdArray(
            own(image) if copy else image, int(named.pop("uniqueId", self._count)), int(named.pop("timeStamp", 0)), named
        )
        self._published.clear()
        returned = self._theirs.process(pv_object)
        if returned is None and self._published:
            returned = self._published[-1]
        get_stats = optional(self._theirs, "getStats")
        stats = {} if get_stats is None or all(shaped.values()) else get_stats()
        return tuple([stats[name] if name in stats else _field(returned, name, shaped[name]) for name in outputs])

    members = {
        "__init__": with_params(_init(processor, defaults), defaults),
        "event": with_inputs(event, ["self"], inputs),
        "split_dependent": split_dependent,
    }
    return make(PerEvent, processor, outputs, members)


def _init(processor: Any, defaults: Mapping[str, Any]) -> Callable[..., None]:
    def __init__(self: Any, **params: Any) -> None:
        self._theirs = processor({"processorId": 1, "objectIdField": "uniqueId", **defaults, **params})
        self._published = []
        self._theirs.updateOutputChannel = self._published.append
        configure, start = optional(self._theirs, "configure"), optional(self._theirs, "start")
        if params and configure is not None:
            configure(params)
        if start is not None:
            start()
        self._count = 0

    return __init__


def _field(pv_object: Any, name: str, shaped: bool) -> Any:
    if pv_object is None:
        return None
    if shaped:
        return image_of(pv_object)
    return pv_object[name] if name in pv_object else None
