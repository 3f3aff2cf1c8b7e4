"""The client against the real daemons."""

import threading
import time

import numpy as np
import pytest
from live import System, missing, until

from ami_client import AmiError, Manager, Store

EVENTS = 3000
GRAPH = {
    "name": "t",
    "nodes": {
        "mean": {"op": "mean", "in": "mixed:raw:poisson"},
        "hist": {"op": "hist", "in": "mixed:raw:poisson", "bins": 20, "range": [0, 20]},
        "beat": {"op": "hist", "in": "mixed:raw:poisson", "bins": 20, "range": [0, 20], "window": "heartbeat"},
    },
    "publish": ["mean", "hist", "beat"],
}


@pytest.fixture(scope="module")
def ended():
    """A system that has read all its events. Tests that edit use `editable`."""
    if missing():
        pytest.skip(missing())
    with System(f"sim:mixed?events={EVENTS}", GRAPH) as system:
        with Store(system.run_dir) as store:
            until(lambda: total(store) >= EVENTS, what="all events")
        yield system


@pytest.fixture
def editable():
    """A system with data that does not end."""
    if missing():
        pytest.skip(missing())
    with System("sim:mixed?pace=2000&loop=forever", GRAPH) as system:
        yield system


def total(store):
    return sum(f.events for f in store.history("t/@heartbeat", limit=100_000))


def test_get_list_and_history(ended):
    with Store(ended.run_dir) as store:
        assert total(store) == EVENTS
        topics = [entry["topic"] for entry in store.list("t/")]
        assert topics == ["t/@heartbeat", "t/beat", "t/hist", "t/mean"]
        hist = store.get("t/hist")
        assert hist["counts"].shape == (20,) and hist["edges"].shape == (21,)
        assert hist["counts"].sum() + hist["underflow"] + hist["overflow"] <= hist.window_events
        assert isinstance(store.get("t/mean").value, float)
        beats = store.history("t/@heartbeat", limit=100_000)
        assert all(f.complete and f.dropped == {} and f.events == f.expected for f in beats)
        heartbeats = [f.heartbeat for f in beats]
        assert heartbeats == sorted(heartbeats), "a run or step that begins within a heartbeat divides it"
        newest = store.history("t/mean", since_heartbeat=heartbeats[-3])
        assert newest[-1].heartbeat == heartbeats[-1] and all(f.heartbeat >= heartbeats[-3] for f in newest)
        assert len(store.history("t/mean", limit=2)) == 2


def test_a_late_client_gets_values_at_once(ended):
    with Store(ended.run_dir) as store, store.subscribe("t/hist", "t/mean") as subscription:
        first = {f.topic: f for f in (subscription.next(5), subscription.next(5)) if f}
        assert sorted(first) == ["t/hist", "t/mean"]
        np.testing.assert_array_equal(first["t/hist"]["counts"], store.get("t/hist")["counts"])
        with Store(ended.run_dir) as other:
            assert next(iter(other.subscribe("t/mean", timeout=5))).topic == "t/mean"
        assert subscription.next(0.3) is None, "what is sent again for others is dropped"


def test_a_typo_gets_the_nearest_name(ended):
    with Store(ended.run_dir) as store:
        with pytest.raises(AmiError, match=r'did you mean "t/hist"'):
            store.get("t/hits")
        with pytest.raises(AmiError, match=r'did you mean "t"'):
            store.snapshot("tt")


def test_snapshots_are_of_one_heartbeat_while_data_flow(editable):
    with Store(editable.run_dir) as store:
        until(lambda: store.snapshot("t"))
        seen = set()
        end = time.monotonic() + 20
        while len(seen) < 5 and time.monotonic() < end:
            frame = store.snapshot("t")
            assert sorted(frame) == ["t/beat", "t/hist", "t/mean"]
            assert len({f.heartbeat for f in frame.values()}) == 1
            assert len({f.window_events for f in frame.values() if f.window == "run"}) == 1
            seen.add(frame["t/mean"].heartbeat)
        assert len(seen) == 5, "data did flow"


def test_live_features_make_whole_frames(editable):
    with Store(editable.run_dir) as store:
        until(lambda: store.get("t/@heartbeat"))
        latest, frames = {}, 0
        for feature in store.subscribe("t/", timeout=10):
            if feature.topic == "t/@heartbeat":
                if frames:  # The first is the last values, sent as the subscription came.
                    assert {t: latest.get(t) for t in feature.topics} == feature.topics
                frames += 1
            else:
                latest[feature.topic] = feature.seq
            if frames == 10:
                break
        assert frames == 10


def test_edits_refusals_and_rollback(editable):
    with Manager(editable.run_dir) as manager, Store(editable.run_dir) as store:
        before = manager.graphs()[0]["version"]
        done = manager.set("t", "hist", base=before, bins=40)
        assert done["in_effect"] and done["version"] > before and done["waiting_for"] == []
        until(lambda: store.get("t/hist")["counts"].shape == (40,), what="the edit in what is published")
        assert store.get("t/hist").version == done["version"]

        with pytest.raises(AmiError, match="bins"):
            manager.set("t", "hist", bins=-1)
        with pytest.raises(AmiError) as stale:
            manager.set("t", "hist", base=before, bins=50)
        assert stale.value.errors, "names the versions made since"
        with pytest.raises(AmiError, match="t"):
            manager.show("no_such_graph")
        assert manager.graphs()[0]["version"] == done["version"], "refusals change nothing"

        changes = manager.diff("t")["changes"]
        assert [(c["node"], c["change"]) for c in changes] == [("hist", "changed")]
        back = manager.rollback("t", before)
        assert manager.show("t")["spec"]["nodes"]["hist"]["bins"] == 20
        assert manager.history("t")[-1]["version"] == back["version"]
        assert manager.history("t")[-1]["who"] == manager.who
        until(lambda: store.get("t/hist")["counts"].shape == (20,), what="the rollback in what is published")


def test_apply_reset_and_remove(editable, tmp_path):
    with Manager(editable.run_dir) as manager, Store(editable.run_dir) as store:
        spec = {"name": "u", "nodes": {"n": {"op": "count", "in": "mixed:raw:bool"}}, "publish": ["n"]}
        assert manager.validate(spec)["errors"] == []
        wrong = {**spec, "nodes": {"n": {"op": "cuont", "in": "mixed:raw:bool"}}}
        assert "count" in str(manager.validate(wrong)["errors"])
        assert manager.apply(spec, base=0)["in_effect"]
        assert until(lambda: store.get("u/n").value) > 0
        assert manager.reset("u")["in_effect"]
        assert sorted(g["name"] for g in manager.graphs()) == ["t", "u"]
        assert manager.remove("u")["in_effect"]
        until(lambda: not store.list("u/"), what="topics of a removed graph go")
        assert [g["name"] for g in manager.graphs()] == ["t"]
        assert {m["role"] for m in manager.status()["members"]} >= {"store", "ventilator", "worker"}
        assert any(f["name"] == "mixed:raw:bool" for f in manager.sources()[0]["fields"])


def test_many_clients_come_and_go(editable):
    failed = []

    def client():
        try:
            with Store(editable.run_dir) as store:
                until(lambda: store.get("t/mean"))
                with store.subscribe("t/mean", timeout=10) as subscription:
                    seqs = [next(subscription).seq for _ in range(5)]
                assert seqs == list(range(seqs[0], seqs[0] + 5))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client) for _ in range(8)]
    [t.start() for t in threads]
    [t.join(60) for t in threads]
    assert failed == []
