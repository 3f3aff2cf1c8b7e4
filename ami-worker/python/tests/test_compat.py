"""Code of other systems in its own form, in the real host and on arrays."""

import sys
import textwrap

import numpy as np
import pytest
from driver import Driver

from ami_node import NodeError, check
from ami_node.compat import collect_om, from_livereduce, post_livereduce
from ami_node.compat.livereduce import script
from ami_node.compat.pvapy import NtNdArray
from ami_node.source import import_source


def module(text, file="theirs.py"):
    return import_source(textwrap.dedent(text), file)


# AMI2

THRESHOLD = """
class EventProcessor():

    def __init__(self):
        self.steps = []
        self.count = 0

    def begin_run(self):
        self.count = 0

    def end_run(self):
        pass

    def begin_step(self, step):
        self.steps.append(step)

    def end_step(self, step):
        pass

    def on_event(self, In, In_1, *args, **kwargs):
        self.count += 1
        if In_1 < 0:
            return None
        In[In < 50] = 0
        return In, In.sum() / In_1, self.count


def func(waveforms):
    return waveforms[3]
"""
AS_NODES = """
from ami_node.compat import from_ami2
threshold = from_ami2(EventProcessor, outputs={"image": "u2[:, :]", "ratio": "f8", "count": "i8"}, split_dependent=True)
pick = from_ami2(func, outputs={"waveform": "f8[:]"})
"""


def test_ami2_in_memory():
    theirs = module(THRESHOLD + AS_NODES)
    images = np.arange(200, dtype="u2").reshape(2, 10, 10)
    made = theirs.threshold().try_on(images, np.array([2.0, -1.0]))
    assert (
        made["image"][1] is None
        and made["ratio"][0] == sum(range(50, 100)) / 2
        and images[0].max() == 99
        and images[0, 0, 5] == 5
    )
    assert theirs.pick().try_on(np.ones((2, 4, 3)))["waveform"].shape == (2, 3)
    assert check(theirs.threshold, {"In": images, "In_1": [1.0, 1.0]})["ok"]


def test_ami2_in_the_host():
    with Driver() as host:
        nodes = host.describe(THRESHOLD + AS_NODES)
        assert list(nodes) == ["threshold", "pick"]
        assert nodes["threshold"]["inputs"] == ["In", "In_1"] and nodes["threshold"]["varargs"]
        assert nodes["threshold"]["hooks"] == ["begin_run", "end_run", "begin_step", "end_step"]
        host.load(THRESHOLD + AS_NODES, "threshold")
        columns = [host.dense(np.full((2, 2, 2), 60, "u2")), host.scalars([1, 1], "f8")]
        answer = host.events(*columns, count=2, context={"run": 1, "step": 3, "held": {}})
        assert answer["failures"] == [] and host.values(answer["outputs"][2], 2) == [1, 2]
        columns = [host.dense(np.full((1, 2, 2), 60, "u2")), host.scalars([1], "f8")]
        answer = host.events(*columns, count=1, context={"run": 2, "step": None})
        assert host.values(answer["outputs"][2], 1) == [1]


# OM

OM = """
class HitProcessing:
    def __init__(self, *, monitor_parameters):
        self._monitor_params = monitor_parameters

    def initialize_processing_node(self, *, node_rank, node_pool_size):
        self._threshold = self._monitor_params.get_parameter(group="hits", parameter="threshold", parameter_type=float, required=True)

    def initialize_collecting_node(self, *, node_rank, node_pool_size):
        self._num_events = 0
        self._hits = []
        self.ended = False

    def process_data(self, *, node_rank, node_pool_size, data):
        corrected = data["detector_data"]
        corrected[0] = 0
        processed = {"timestamp": data["timestamp"], "hit": bool(corrected.max() > self._threshold)}
        if processed["hit"]:
            processed["frame"] = corrected
        return (processed, node_rank)

    def collect_data(self, *, node_rank, node_pool_size, processed_data):
        received = processed_data[0]
        self._num_events += 1
        self._hits.append((float(received["timestamp"]), bool(received["hit"])))
        return {0: {"timestamp_of_last_event": received["timestamp"]}}

    def end_processing_on_processing_node(self, *, node_rank, node_pool_size):
        return None

    def end_processing_on_collecting_node(self, *, node_rank, node_pool_size):
        self.ended = True
"""
OM_NODES = """
from ami_node.compat import collect_om, from_om
hits = from_om(HitProcessing, {"timestamp": "f8", "hit": "?", "frame": "f4[:, :]"},
               data=["timestamp", "detector_data"], parameters={"hits": {"threshold": 5.0}})
rate = collect_om(HitProcessing, {"num_events": "i8", "rate": "f8", "feedback": "str"}, data=["timestamp", "hit"],
                  publish=lambda om: {"rate": sum(hit for _, hit in om._hits) / max(1, len(om._hits))})
"""


def test_om_processes_and_collects_in_event_order():
    theirs = module(OM + OM_NODES)
    frames = np.array([np.full((2, 2), i) for i in range(10)], "f4")
    made = theirs.hits().try_on(np.arange(10.0), frames)
    assert (
        made["hit"].tolist() == [i > 5 for i in range(10)] and made["frame"][0] is None and made["frame"][9][0].tolist() == [0, 0]
    )
    node = theirs.rate()
    order = np.array([3.0, 1.0, 2.0, 0.0])
    assert node.update({}, order, np.array([True, False, False, False]))[:2] == (4, 0.25)
    assert node._theirs._hits == [(0.0, False), (1.0, False), (2.0, False), (3.0, True)]
    # A buffer brings events again that were there before.
    total, rate, feedback = node.update({}, np.array([2.0, 3.0, 4.0]), np.array([True, True, True]))
    assert (total, rate, feedback) == (5, 0.4, '{"0": {"timestamp_of_last_event": 4.0}}')
    node.end_run(1)
    assert node._theirs.ended


def test_om_in_the_host():
    with Driver() as host:
        host.load(OM + OM_NODES, "hits")
        answer = host.events(host.scalars([1, 2], "f8"), host.dense(np.array([[[1, 1]], [[9, 9]]], "f4")), count=2)
        assert answer["failed"] == 0 and host.values(answer["outputs"][1], 2) == [False, False]
        host.load(OM + OM_NODES, "rate", id=2)
        for times, total in (([1, 2], 2), ([2, 3], 3)):
            columns = [host.dense(np.array([times], "f8")), host.dense(np.array([[True, False]]))]
            answer = host.call(call="update", id=2, frame={}, events=1, mask=None, columns=columns)
            assert host.values(answer["outputs"][0], 1) == [total]


def test_om_of_the_older_positional_form():
    theirs = module(
        """
        class Old:
            def process_data(self, rank, pool, data): return {"y": data["x"] * 2}, rank
            def collect_data(self, rank, pool, received): self.y = received[0]["y"]
        """
    )
    from ami_node.compat import collect_om, from_om

    assert from_om(theirs.Old, {"y": "f8"}, data=["x"])().try_on(np.array([1.0, 2.0]))["y"].tolist() == [2, 4]
    assert collect_om(theirs.Old, {"y": "f8"}, data=["y"])().try_on(np.array([1.0, 2.0])) == {"y": 2.0}


def test_om_collects_each_event_once_also_where_two_hosts_have_the_same_time():
    class Counter:
        def __init__(self, parameters):
            self.seen = 0

        def collect_data(self, rank, pool, processed):
            self.seen += 1

    node = collect_om(Counter, {"seen": "i8"}, data=["timestamp"])()
    for rows, seen in (([1, 1], 2), ([1, 1, 2], 3), ([1, 1, 2, 2, 3, 3], 6), ([3, 3, 4], 7), ([5], 8)):
        assert node.update({}, np.array(rows)) == (seen,)


# PvaPy

PVAPY = """
from ami_node.compat import from_pvapy, pvapy
pvapy.stand_in()

import time
import numpy as np
import pvaccess as pva
from pvapy.hpc.adImageProcessor import AdImageProcessor
from pvapy.utility.floatWithUnits import FloatWithUnits

class Swap(AdImageProcessor):

    def __init__(self, configDict={}):
        AdImageProcessor.__init__(self, configDict)
        self.gain = configDict.get('gain')
        self.nProcessed = 0
        self.processingTime = 0
        self.logger.debug('Created')

    def configure(self, kwargs):
        self.gain = kwargs.get('gain', self.gain)

    def process(self, pvObject):
        (frameId, image, nx, ny, nz, colorMode, fieldKey) = self.reshapeNtNdArray(pvObject)
        if nx is None:
            return pvObject
        assert fieldKey == 'ushortValue' and pvObject['dimension'][0]['size'] == nx
        assert pvObject['value'][0]['ushortValue'].size == nx * ny
        image2 = np.swapaxes(image, 0, 1) * np.uint16(self.gain)
        pvObject2 = self.replaceNtNdArrayImage2D(pvObject, frameId, image2)
        self.updateOutputChannel(pvObject2)
        self.nProcessed += 1
        self.processingTime += 0.5
        return pvObject2

    def getStats(self):
        return {'nProcessed': self.nProcessed, 'processingTime': FloatWithUnits(self.processingTime, 's')}

    def getStatsPvaTypes(self):
        return {'nProcessed': pva.UINT, 'processingTime': pva.DOUBLE}

swap = from_pvapy(Swap, {"image": "u2[:, :]", "nProcessed": "i8", "processingTime": "f8", "uniqueId": "i8"},
                  inputs=("image", "uniqueId", "timeStamp"), config={"gain": 2}, split_dependent=True)
"""


@pytest.fixture
def no_pvapy():
    yield
    for name in [n for n in sys.modules if n.split(".")[0] in ("pvapy", "pvaccess")]:
        del sys.modules[name]


def test_pvapy_in_memory(no_pvapy):
    theirs = module(PVAPY)
    images = np.arange(12, dtype="u2").reshape(2, 2, 3)
    made = theirs.swap(gain=3).try_on(images, [7, 8], [10**9, 2 * 10**9])
    assert (made["image"] == 3 * images.transpose(0, 2, 1)).all()
    assert (
        made["nProcessed"].tolist() == [1, 2]
        and made["uniqueId"].tolist() == [7, 8]
        and made["processingTime"].tolist() == [0.5, 1.0]
    )


def test_pvapy_in_the_host():
    with Driver() as host:
        described = host.describe(PVAPY)["swap"]
        assert described["params"] == [{"name": "gain", "default": 2, "type": "integer", "doc": ""}]
        host.load(PVAPY, "swap", gain=5)
        columns = [host.dense(np.ones((2, 2, 3), "u2")), host.scalars([7, 8], "u8"), host.scalars([0, 0], "u8")]
        answer = host.events(*columns, count=2)
        assert answer["failed"] == 0 and host.values(answer["outputs"][0], 2)[1].tolist() == [[5, 5]] * 3


def test_an_ntndarray_is_read_as_pvapy_reads_it():
    image = NtNdArray(np.arange(6, dtype="f4").reshape(2, 3), 5, 1_500_000_001, {"motor": 2.5})
    assert image["value"][0]["floatValue"].tolist() == [0, 1, 2, 3, 4, 5] and [d["size"] for d in image["dimension"]] == [3, 2]
    assert image["timeStamp"]["secondsPastEpoch"] == 1 and image["timeStamp"]["nanoseconds"] == 500000001
    assert image["attribute"][1] == {"name": "motor", "value": ({"value": 2.5},)} and "codec" in image
    assert NtNdArray().image() is None


# livereduce


def proc(input):
    return np.histogram(input, 4, (0, 4))[0]


@pytest.mark.parametrize("chunks", [False, True])
def test_livereduce_adds(chunks):
    node = from_livereduce(proc, {"hist": "f8[4]"}, chunks=chunks)
    data = np.random.default_rng(1).uniform(0, 4, (50, 20))
    assert node().try_on(data, lanes=3)["hist"].tolist() == proc(data).tolist()
    assert check(node, {"input": data})["ok"]
    assert node().try_on(np.zeros((0, 20)))["hist"] is None


def test_livereduce_replaces_and_appends_in_event_order():
    order = np.array([4, 2, 9, 1, 7])
    data = order * 1.0
    newest = from_livereduce(lambda input: input * 10, {"newest": "f8"}, method="Replace")
    every = from_livereduce(lambda input: [input, -input], {"every": "f8[:]"}, method="Append")
    assert newest().try_on(order, data, lanes=3) == {"newest": 90}
    assert every().try_on(order, data, lanes=3)["every"].tolist() == [1, -1, 2, -2, 4, -4, 7, -7, 9, -9]
    for node in (newest, every):
        assert check(node, {"order": order, "input": data})["ok"]


def test_livereduce_is_the_same_where_two_hosts_see_the_same_pulse():
    order = np.array([5, 0, 13, 5, 0, 0, 13, 4])
    newest = from_livereduce(lambda input: input, {"newest": "f8"}, method="Replace")
    every = from_livereduce(lambda input: [input, -input], {"every": "f8[:]"}, method="Append")
    for node in (newest, every):
        assert check(node, {"order": order, "input": np.arange(8.0)})["ok"]
    rows = every().try_on(order, np.arange(8.0), lanes=3)["every"]
    assert (rows[::2] == -rows[1::2]).all(), "what one event gave stays together"


def test_livereduce_runs_scripts_and_post_processes():
    reduce = from_livereduce(script("scale = 2\noutput = input * scale"), {"sum": "f8[2]"})
    assert reduce().try_on(np.ones((5, 2)))["sum"].tolist() == [10, 10]
    post = post_livereduce(lambda accumulation: accumulation / accumulation.max(), {"normal": "f8[:]"}, every=10)
    assert post.declaration().every == 10 and post().try_on(np.array([1.0, 4.0]))["normal"].tolist() == [0.25, 1]
    assert post().try_on(None) == {"normal": None}


def test_livereduce_says_what_is_wrong():
    with pytest.raises(NodeError, match="one of Add, Replace, Append"):
        from_livereduce(proc, {"a": "f8"}, method="add")
    with pytest.raises(NodeError, match="one accumulation"):
        from_livereduce(proc, {"a": "f8", "b": "f8"})


def test_livereduce_in_the_host():
    source = "import numpy as np\nfrom ami_node.compat import from_livereduce\ndef proc(input): return input\ntotal = from_livereduce(proc, {'t': 'f8[:]'})\n"
    with Driver() as host:
        host.load(source, "total")
        answer = host.absorb(host.dense(np.ones((3, 2))), count=3)
        state = host.state(answer["state"])
        finished = host.call(call="finish", id=1, state=host.blob(state))
        assert host.values(finished["outputs"][0], 1)[0].tolist() == [3, 3]
