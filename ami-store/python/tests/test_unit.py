"""The client against a store and a manager that are threads of the test."""

import json
import pickle
import threading
import time

import numpy as np
import pytest
import zmq

from ami_client import AmiError, Feature, Manager, Store
from ami_client.address import manager_endpoint, store_endpoints


def header(topic="g/a", seq=1, heartbeat=7, arrays=(), values=None, **more):
    return {
        "topic": topic, "seq": seq, "graph": "g", "version": 3, "heartbeat": heartbeat, "complete": True,
        "events": 5, "window_events": 50, "arrays": list(arrays), "values": values or {}, **more,
    }  # fmt: skip


MEAN = {"name": "mean", "dtype": "<f8", "shape": [2, 3]}


class Fake:
    """ROUTERs that answer with what `answers` returns (None: not at all), and an XPUB."""

    def __init__(self, directory, answers):
        self.answers = answers
        self.requests = []
        self.publish = []
        self._end = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(str(directory),), daemon=True)
        self._thread.start()
        assert self._ready.wait(5)

    def _run(self, directory):
        context = zmq.Context()
        routers = [context.socket(zmq.ROUTER) for _ in range(2)]
        routers[0].bind(f"ipc://{directory}/store.query")
        routers[1].bind(f"ipc://{directory}/manager.cmd")
        xpub = context.socket(zmq.XPUB)
        xpub.bind(f"ipc://{directory}/store.pub")
        self._ready.set()
        while not self._end.is_set():
            for router in routers:
                if router.poll(1):
                    *envelope, body = router.recv_multipart()
                    self.requests.append(json.loads(body))
                    answer = self.answers(self.requests[-1])
                    if answer is not None:
                        router.send_multipart(envelope + answer)
            if xpub.poll(1):
                assert xpub.recv()[:1] in (b"\x01", b"\x00")
                for message in self.publish:
                    xpub.send_multipart(message)
        context.destroy(linger=0)

    def stop(self):
        self._end.set()
        self._thread.join(5)


@pytest.fixture
def fake(tmp_path_factory):
    made = []

    def make(answers):
        directory = tmp_path_factory.mktemp("f")
        made.append(Fake(directory, answers))
        return made[-1], directory

    yield make
    for one in made:
        one.stop()


def dump(document):
    return json.dumps(document).encode()


def test_a_feature_has_header_arrays_and_values():
    data = np.arange(6.0).reshape(2, 3)
    values = {"outside": 17, "sem": "NaN", "low": "-Infinity", "high": "Infinity", "big": 2**64 - 1, "label": "on"}
    feature = Feature(header(arrays=[MEAN], values=values, expected=None), [data.tobytes()])
    assert (feature.heartbeat, feature.complete, feature.window_events, feature.expected) == (7, True, 50, None)
    np.testing.assert_array_equal(feature["mean"], data)
    assert feature["outside"] == 17 and np.isnan(feature["sem"]) and feature["big"] == 2**64 - 1
    assert (feature["low"], feature["high"], feature["label"]) == (-np.inf, np.inf, "on")
    assert "mean" in feature and "none" not in feature and list(feature)[0] == "mean"
    with pytest.raises(ValueError, match="read-only"):
        feature["mean"][0, 0] = 1
    with pytest.raises(KeyError, match="outside"):
        feature["nothing"]
    with pytest.raises(AmiError, match="outputs are"):
        feature.value
    with pytest.raises(AttributeError, match="heartbeat"):
        feature.heartbeet
    copy = pickle.loads(pickle.dumps(feature))
    np.testing.assert_array_equal(copy["mean"], data)
    assert "mean" in repr(copy)


def test_value_is_the_output_of_that_name_or_the_only_one():
    assert Feature(header(values={"value": 2, "count": 3}), []).value == 2
    assert Feature(header(values={"count": 3}), []).value == 3
    assert Feature(header(arrays=[MEAN]), [bytes(48)]).value.shape == (2, 3)


def test_arrays_of_any_type_and_size():
    for dtype, shape in [("|u1", [0]), ("<i8", [3]), ("|b1", [2]), ("<f4", [2, 0, 3]), ("<u2", [])]:
        described = {"name": "value", "dtype": dtype, "shape": shape}
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        array = Feature(header(arrays=[described]), [bytes(size)]).value
        assert (array.dtype, list(array.shape)) == (np.dtype(dtype), shape)
    with pytest.raises(AmiError, match="47 bytes"):
        Feature(header(arrays=[MEAN]), [bytes(47)])
    with pytest.raises(AmiError, match="0 buffers"):
        Feature(header(arrays=[MEAN]), [])


def test_addresses(tmp_path, monkeypatch):
    assert store_endpoints(tmp_path, None) == (f"ipc://{tmp_path}/store.pub", f"ipc://{tmp_path}/store.query")
    assert store_endpoints("tcp://host", None) == ("tcp://host:5570", "tcp://host:5571")
    assert store_endpoints("tcp://host:9000", None) == ("tcp://host:9000", "tcp://host:9001")
    assert store_endpoints("tcp://host:9000", "tcp://o:1") == ("tcp://host:9000", "tcp://o:1")
    assert store_endpoints("tcp://[::1]", None) == ("tcp://[::1]:5570", "tcp://[::1]:5571")
    assert store_endpoints("ipc:///run/ami/", None)[0] == "ipc:///run/ami/store.pub"
    assert store_endpoints("ipc:///run/ami/store.pub", None)[1] == "ipc:///run/ami/store.query"
    assert manager_endpoint("tcp://host") == "tcp://host:5572"
    assert manager_endpoint("tcp://host:1") == "tcp://host:1"
    assert manager_endpoint(str(tmp_path)) == f"ipc://{tmp_path}/manager.cmd"
    monkeypatch.setenv("AMI_RUN_DIR", str(tmp_path))
    assert manager_endpoint(None) == f"ipc://{tmp_path}/manager.cmd"
    monkeypatch.delenv("AMI_RUN_DIR")
    for wrong in (None, tmp_path / "none", "tcp://", "ipc://", "tcp://host:x", "tcp://host:0", "http://host"):
        with pytest.raises(AmiError, match="AMI_RUN_DIR"):
            store_endpoints(wrong, None)


def test_buffers_of_a_list_belong_to_their_headers(fake):
    one, two = np.ones((2, 3)), np.full((2, 3), 2.0)
    heads = [header("g/a", arrays=[MEAN]), header("g/b", values={"value": 1}), header("g/c", arrays=[MEAN])]
    _, directory = fake(lambda _: [dump(heads), one.tobytes(), two.tobytes()])
    with Store(directory) as store:
        snapshot = store.snapshot("g")
        assert list(snapshot) == ["g/a", "g/b", "g/c"]
        assert snapshot["g/a"]["mean"][0, 0] == 1 and snapshot["g/c"]["mean"][0, 0] == 2
        assert [f.topic for f in store.history("g/a", 3, 9)] == list(snapshot)


def test_nobody_there_is_said_in_time(tmp_path):
    began = time.monotonic()
    with Store(tmp_path, timeout=0.2) as store, Manager(tmp_path, timeout=0.2, edit_timeout=0.2) as manager:
        for ask in (
            lambda: store.get("g/a"), lambda: store.subscribe("g/a"), lambda: store.list(),
            lambda: manager.status(), lambda: manager.reset("g"),
        ):  # fmt: skip
            with pytest.raises(AmiError, match=r"no answer from ipc.* within .* s: is ami-(store|manager) running"):
                ask()
    assert time.monotonic() - began < 5
    with pytest.raises(AmiError, match="closed"):
        store.get("g/a")


def test_a_late_answer_is_not_taken_for_the_next(fake):
    def answers(request):
        if request["get"] == "g/slow":
            time.sleep(0.5)
        return [dump(header(request["get"]))]

    _, directory = fake(answers)
    with Store(directory, timeout=0.2) as store:
        with pytest.raises(AmiError):
            store.get("g/slow")
        time.sleep(0.5)
        assert store.get("g/a").topic == "g/a"


def test_mistakes_and_garbage_are_errors(fake):
    replies = {"g/a": [dump({"error": "no feature", "hint": "did you mean"})], "g/b": [b"{"]}
    _, directory = fake(lambda request: replies[request["get"]])
    with Store(directory) as store:
        with pytest.raises(AmiError) as caught:
            store.get("g/a")
        assert (caught.value.message, caught.value.hint, caught.value.errors) == ("no feature", "did you mean", [])
        with pytest.raises(AmiError, match="not JSON"):
            store.get("g/b")


def test_a_subscription_drops_repetitions_only(fake):
    server, directory = fake(lambda _: [b"[]"])
    steps = [(1, 7), (1, 7), (2, 8), (2, 8), (1, 9), (3, 10)]
    server.publish = [[b"g/a", dump(header(seq=s, heartbeat=h))] for s, h in steps]
    server.publish.insert(2, [b"g/ab", dump(header("g/ab"))])
    with Store(directory) as store:
        taken = [(f.seq, f.heartbeat) for f in store.subscribe("g/a", timeout=0.5)]
        assert taken == [(1, 7), (2, 8), (1, 9), (3, 10)]
        assert [f.topic for f in store.subscribe("g/*", timeout=0.5)].count("g/ab") == 1
        assert next(store.subscribe("g/a", timeout=1e9)).seq == 1, "also longer than ZeroMQ can count"
        subscription = store.subscribe("g/a")
    assert list(subscription) == [], "closed with the store"


def test_a_header_that_is_not_one_object_is_an_error(fake):
    for garbage in (b"", b"[1]", b"{} {}", b"{", b"\xff"):
        server, directory = fake(lambda _: [b"[]"])
        server.publish = [[b"g/a", garbage]]
        with Store(directory) as store:
            with pytest.raises(AmiError, match="'g/a' is not JSON"):
                store.subscribe("g/a").next(timeout=30)


def test_what_the_manager_is_asked(fake, tmp_path):
    server, directory = fake(lambda _: [dump({"versions": [], "graphs": [], "sources": []})])
    path = tmp_path / "g.json"
    path.write_text('{"name": "g"} ')
    with Manager(directory, who="me") as manager:
        manager.apply({"name": "g"}, base=0)
        manager.apply(str(path), wait=False)
        manager.validate('{"name": "g"}')
        manager.set("g", "n", bins=np.int64(5), range=np.array([0.0, 1.0]), in_="x", window=None)
        manager.remove("g")
        manager.rollback("g", 3)
        manager.reset("g", "a", "b")
        manager.diff("g", old=1)
        manager.show("g", 2)
        assert manager.history("g") == manager.graphs() == manager.sources() == []
        with pytest.raises(AmiError, match="JSON"):
            manager.set("g", "n", value=float("nan"))
        with pytest.raises(AmiError, match="graph file"):
            manager.apply(tmp_path / "none.json")
    edit = {"who": "me", "no_wait": False, "timeout_s": 30}
    assert server.requests[:9] == [
        {"cmd": "graph.apply", "spec": {"name": "g"}, "base": 0, **edit},
        {"cmd": "graph.apply", "spec": '{"name": "g"} ', **edit, "no_wait": True},
        {"cmd": "graph.validate", "spec": '{"name": "g"}'},
        {"cmd": "graph.set", "graph": "g", "node": "n",
         "params": {"bins": 5, "range": [0.0, 1.0], "in": "x", "window": None}, **edit},
        {"cmd": "graph.rm", "graph": "g", **edit},
        {"cmd": "graph.rollback", "graph": "g", "version": 3, **edit},
        {"cmd": "graph.reset", "graph": "g", "nodes": ["a", "b"], **edit},
        {"cmd": "graph.diff", "graph": "g", "from": 1},
        {"cmd": "graph.show", "graph": "g", "version": 2},
    ]  # fmt: skip


def test_threads_share_a_store(fake):
    _, directory = fake(lambda request: [dump(header(request["get"]))])
    wrong = []
    with Store(directory) as store:

        def ask(name):
            wrong.extend(name for _ in range(50) if store.get(name).topic != name)

        threads = [threading.Thread(target=ask, args=(f"g/{n}",)) for n in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    assert wrong == []
