"""Declarations, trials and checks, without the host."""

import json

import numpy as np
import pytest

import ami_node
from ami_node import NodeError, PerEvent, Reduction, Root, check, describe, per_event
from ami_node.state import add, decode, encode_bytes


def decorated(outputs, function=lambda x: x):
    return per_event(outputs=outputs)(function)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda: per_event(lambda x: x), 'write @per_event(outputs={"total": "f8"})'),
        (lambda: decorated({}), "outputs are a dict of names and types"),
        (lambda: decorated("f8"), "outputs are a dict of names and types"),
        (lambda: decorated({"a b": "f8"}), "'a b' is no name of an output"),
        (lambda: decorated({"a": "f16"}), "the type of output a is 'f16', which is none of ?, i1"),
        (lambda: decorated({"a": "c16"}), "which is none of"),
        (lambda: decorated({"a": "f8[x]"}), "where 'x' is no length"),
        (lambda: decorated({"a": "f8[1,2,3,4,5,6]"}), "at most 5"),
        (lambda: decorated({"a": "str[2]"}), "no arrays of texts"),
        (lambda: decorated({"a": 8}), 'write it as "f8"'),
        (lambda: decorated({"a": "f8"}, lambda x, k=1: x), "write `*, k=1` if it is a parameter"),
        (lambda: decorated({"a": "f8"}, lambda x, *, k: x), "parameter k has no default: write `k=…`"),
        (lambda: decorated({"a": "f8"}, lambda x, *, k=np.ones(2): x), "the default of parameter k is a ndarray"),
        (lambda: decorated({"a": "f8"}, lambda x, **k: x), "takes **k"),
        (lambda: decorated({"a": "f8"}, int), "derive it from PerEvent instead"),
        (lambda: type("A", (PerEvent,), {"outputs": {"a": "f8"}}).declaration(), "A has no event"),
        (lambda: type("A", (PerEvent,), {"outputs": {"a": "f8"}, "event": len, "batch": len}), "A has both event and batch"),
        (lambda: type("A", (Reduction,), {"outputs": {"a": "f8"}, "absorb": lambda self, state: 0}), "A has no start"),
        (lambda: type("A", (Root,), {"outputs": {"a": "f8"}, "update": lambda self, frame: 0, "every": 0}), "every is 0"),
        (
            lambda: type("A", (PerEvent,), {"outputs": {"a": "f8"}, "event": lambda self, *, k=1: 0}),
            "parameters belong to __init__",
        ),
        (
            lambda: type("A", (PerEvent,), {"outputs": {"a": "f8"}, "event": lambda self: 0, "__init__": lambda self, k: None}),
            "takes k by position",
        ),
    ],
)
def test_a_wrong_declaration_says_what_to_write(make, words):
    with pytest.raises(NodeError) as error:
        make()
    assert words in str(error.value)


def test_types_are_read_as_numpy_writes_them():
    made = describe(decorated({"a": "float64", "b": "bool", "c": ">u2[ 3 , : ]", "d": "f4[:,:]"}))["<lambda>"]["outputs"]
    assert [(o["dtype"], o["shape"]) for o in made] == [("f8", None), ("?", None), ("u2", [3, None]), ("f4", [None, None])]


def test_a_parameter_is_what_the_signature_and_the_docstring_say():
    class Mean(PerEvent):
        """Means.

        Parameters
        ----------
        alpha : float
            Weight of the newest,
            between 0 and 1.
        mask : list of int
            Pixels left out.
        """

        outputs = {"mean": "f8"}

        def __init__(self, *, alpha=np.float32(0.5), mask=(), n: "int" = None, label="x", odd=None):
            """label: what it is called."""

        def event(self, x):
            pass

    params = {p["name"]: p for p in describe(Mean)["Mean"]["params"]}
    assert [p["type"] for p in params.values()] == ["number", "list", "integer", "text", "any"]
    assert params["alpha"]["doc"] == "Weight of the newest, between 0 and 1." and params["alpha"]["default"] == 0.5
    assert params["mask"]["doc"] == "Pixels left out." and params["label"]["doc"] == "what it is called."


def test_a_module_can_be_described():
    with pytest.raises(NodeError, match="no node"):
        describe(ami_node)


def test_an_abstract_class_may_lack_what_a_derived_one_has():
    class Base(PerEvent):
        def event(self, x):
            return x * self.factor

    class Double(Base):
        outputs = {"y": "f8"}
        factor = 2

    assert Double().try_on(np.arange(3.0))["y"].tolist() == [0, 2, 4]


@per_event(outputs={"spectrum": "f8[:]", "total": "f8"})
def spectrum(image, *, threshold=10.0):
    kept = np.where(image > threshold, image, 0)
    return kept.sum(axis=0), None if kept.sum() == 0 else kept.sum()


class Radial(Reduction):
    outputs = {"profile": "f8[:]", "count": "i8"}

    def __init__(self, *, scale=1.0):
        self.scale = scale

    def start(self):
        return {"sum": np.zeros(3), "n": 0}

    def absorb(self, state, image):
        state["sum"] += image * self.scale
        state["n"] += 1

    def finish(self, state):
        return (state["sum"] / state["n"] if state["n"] else None), state["n"]


def test_a_function_is_tried_and_still_called():
    images = np.arange(24, dtype="u2").reshape(2, 3, 4)
    assert spectrum(images[1], threshold=0)[1] == sum(range(12, 24))
    made = spectrum.try_on(images, threshold=11)
    assert made["spectrum"].shape == (2, 4) and made["total"] == [None, sum(range(12, 24))]
    assert spectrum.try_on([images[0], None])["spectrum"][1] is None
    with pytest.raises(NodeError, match="did you mean 'threshold'"):
        spectrum.try_on(images, treshold=1)
    with pytest.raises(NodeError, match="1 inputs \\(image\\), got 2"):
        spectrum.try_on(images, images)


def test_a_trial_raises_what_the_code_raises():
    with pytest.raises(ZeroDivisionError):
        decorated({"y": "f8"}, lambda x: 1 / 0).try_on(np.ones(1))
    with pytest.raises(TypeError, match="output y: declared f8, got str"):
        decorated({"y": "f8"}, lambda x: "a").try_on(np.ones(1))
    with pytest.raises(ValueError, match="read-only"):
        decorated({"y": "f8"}, lambda x: x.fill(1)).try_on(np.ones((1, 2)))


@pytest.mark.parametrize("lanes", [1, 2, 7])
def test_a_reduction_lives_its_whole_life(lanes):
    made = Radial(scale=2.0).try_on(np.arange(12.0).reshape(4, 3), lanes=lanes)
    assert made["profile"].tolist() == [9, 11, 13] and made["count"] == 4 and made["count"].dtype == np.int64
    assert Radial().try_on([np.ones(3), None], lanes=lanes)["count"] == 1


def test_a_batch_is_tried_on_all_events():
    class Twice(PerEvent):
        outputs = {"y": "f8"}

        def batch(self, x):
            return 2.0 * x

    assert Twice().try_on(np.arange(3.0))["y"].tolist() == [0, 2, 4]

    class Count(Reduction):
        outputs = {"n": "i8"}

        def start(self):
            return {"n": 0}

        def absorb_batch(self, state, x):
            return {"n": state["n"] + len(x)}

        def finish(self, state):
            return state["n"]

    assert Count().try_on(np.arange(10))["n"] == 10 and check(Count, {"x": np.arange(10)})["ok"]


def test_a_root_node_is_tried_with_a_frame():
    class Report(Root):
        outputs = {"text": "str", "x": "f8"}

        def update(self, frame, image, scan):
            return f"{frame['run']} {frame['complete']} {scan}", image.mean()

    assert Report().try_on(np.ones(3), None, frame={"run": 9}) == {"text": "9 True None", "x": 1.0}
    assert check(Report, {"image": np.ones((2, 3)), "scan": ["a", "b"]})["ok"]


# Check


def test_a_check_passes_what_is_right():
    report = check(Radial, {"image": np.random.default_rng(1).uniform(size=(100, 3))}, params={"scale": 3.0})
    assert report["ok"] and report["split"] == {"ok": True, "lanes": [1, 2, 3, 7], "differences": []}
    assert report["cost_us"] > 0 and report["outputs"][1]["first"] == [100] and report["given"] == report["events"] == 100
    report = check(spectrum, {"image": [np.full((2, 2), 20, "u2"), None]})
    assert report["ok"] and (report["events"], report["given"]) == (2, 1)


def test_a_check_finds_a_wrong_merge_and_shows_both_numbers():
    class Last(Radial):
        outputs = {"last": "f8[:]"}

        def absorb(self, state, image):
            state["sum"] = image.copy()

        def finish(self, state):
            return state["sum"]

    report = check(Last, {"image": np.arange(30.0).reshape(10, 3)})
    first = report["split"]["differences"][0]
    assert not report["ok"] and not report["failed"]
    assert (first["lanes"], first["order"], first["output"], first["index"]) == (2, "forward", "last", [2])
    assert first["one"] == 29 and first["other"] == 29 + 26
    json.dumps(report, allow_nan=False)


def test_a_check_finds_what_depends_on_the_order_of_merging():
    class Other(Radial):
        def merge(self, state, other):
            return other

    differences = check(Other, {"image": np.ones((10, 3))})["split"]["differences"]
    assert {d["order"] for d in differences} == {"forward", "backward"} and "count" in {d["output"] for d in differences}


def test_a_check_finds_a_per_event_node_that_keeps_something():
    class Count(PerEvent):
        outputs = {"n": "i8"}
        n = 0

        def event(self, x):
            self.n += 1
            return self.n

    report = check(Count, {"x": np.ones(5)})
    assert not report["ok"] and report["split"]["differences"][0]["event"] == 1
    Count.declaration().split_dependent = True
    assert check(Count, {"x": np.ones(5)})["ok"]


def test_trials_and_checks_begin_a_run():
    class Runs(PerEvent):
        outputs = {"run": "i8"}

        def begin_run(self, run):
            if run != 1:
                raise ValueError(run)
            self.run = run

        def event(self, x):
            return self.run

    assert Runs().try_on(np.ones(2))["run"].tolist() == [1, 1] and check(Runs, {"x": np.ones(2)})["ok"]

    class Wrong(Runs):
        def begin_run(self, run):
            raise KeyError(run)

    with pytest.raises(KeyError):
        Wrong().try_on(np.ones(2))
    report = check(Wrong, {"x": np.ones(2)})
    assert not report["ok"] and report["failures"][0][0] == -1


def test_a_check_allows_rounding_and_nothing_more():
    rng = np.random.default_rng(2)
    assert check(Radial, {"image": rng.normal(size=(1000, 3)) * 1e6})["ok"]

    class Rounded(Radial):
        def finish(self, state):
            return state["sum"] * (1 + 1e-9 * (state["lanes"] > 1)), state["n"]

        def start(self):
            return {**super().start(), "lanes": 1}

    assert not check(Rounded, {"image": rng.normal(size=(10, 3))})["ok"]


def test_a_check_reports_failures_and_what_never_comes_out():
    def odd(x):
        return 1.0 / (int(x) % 7)

    def broken(self, state):
        return {}["none"]

    report = check(per_event(outputs={"y": "f8"})(odd), {"x": list(range(20))})
    assert report["failed"] == 3 and report["failures"][0][:2][0] == 0 and not report["ok"]
    report = check(type("Broken", (Radial,), {"outputs": {"y": "f8"}, "finish": broken}), {"image": np.ones((2, 3))})
    assert report["error"]["message"].startswith("KeyError: 'none' (test_node.py:") and not report["ok"]
    with pytest.raises(NodeError, match="did you mean 'image'"):
        check(Radial, {"imag": np.ones((2, 3))})


# States


def test_a_state_comes_back_as_it_was():
    state = {
        "a": np.arange(6, dtype="f4").reshape(2, 3)[:, ::2], "b": {"c": 1, "d": 2.5, "e": True, "f": "é\n", "g": {}}, "big": np.zeros((0, 3)),
        "h": 2**63, "i": np.uint8(7), "j": float("nan"), "k": np.array(3), "swapped": np.arange(3, dtype=">i4"),
    }  # fmt: skip
    data = encode_bytes(state)
    back = decode(data, 0, len(data), copy=True)
    assert back["a"].tolist() == state["a"].tolist() and back["b"] == state["b"] and back["h"] == 2**63
    assert (
        type(back["b"]["c"]) is int
        and type(back["b"]["e"]) is bool
        and type(back["i"]) is np.uint8
        and back["big"].shape == (0, 3)
    )
    assert back["swapped"].tolist() == [0, 1, 2] and np.isnan(back["j"]) and back["k"] == 3
    assert len(data) % 16 == 0 and encode_bytes(back) == data


@pytest.mark.parametrize(
    "one, other, words",
    [
        ({"a": 1}, {"b": 1}, "a, b in one state only"),
        ({"a": "x"}, {"a": "y"}, "texts 'x' and 'y' differ"),
        ({"a": np.zeros(2)}, {"a": np.zeros(3)}, 'state["a"]: f8[2] and f8[3]'),
        ({"a": np.zeros(2)}, {"a": np.zeros(2, "f4")}, "f8[2] and f4[2]"),
        ({"a": 0}, {"a": np.zeros(2)}, "int and f8[2]"),
        ({"a": {"b": 1}}, {"a": 1}, 'state["a"]: dict and int'),
    ],
)
def test_states_that_cannot_be_added_say_why(one, other, words):
    with pytest.raises(TypeError) as error:
        add(one, other)
    assert words in str(error.value)


def test_every_array_and_number_is_added():
    one = {"a": np.arange(2), "n": 0, "x": 0.5, "b": False, "t": "t", "m": np.array([True, False]), "s": 0}
    other = {"a": np.arange(2), "n": 2, "x": 1.0, "b": True, "t": "t", "m": np.array([False, False]), "s": np.float64(1.5)}
    made = add(one, other)
    assert made["a"].tolist() == [0, 2] and made["m"].tolist() == [True, False]
    assert (made["n"], made["x"], made["b"], made["t"], made["s"]) == (2, 1.5, True, "t", 1.5) and type(made["b"]) is bool
    assert one["a"].tolist() == [0, 1]
