"""The real host in a real process: calls, columns, states, failures."""

import json

import numpy as np
import pytest
from driver import Driver, HostError

from ami_node.state import decode, encode_bytes

HEAD = """
import numpy as np
from ami_node import per_event, PerEvent, Reduction, Root
"""


@pytest.fixture(scope="module")
def host():
    with Driver() as driver:
        yield driver


def outputs(host, answer, count):
    return [host.values(column, count) for column in answer["outputs"]]


def test_says_who_it_is(host):
    assert host.ready["protocol"] == 1 and host.ready["numpy"] == np.__version__
    assert host.ready["pid"] == host.process.pid


def test_describes_what_a_file_defines(host):
    nodes = host.describe(
        HEAD
        + '''
@per_event(outputs={"total": "f8", "image": "u2[4, :]", "name": "str"})
def spectrum(image, i0, *more, threshold=10.0, mode: str = "sum", limit=float("inf")):
    """Sums.

    threshold: what is below is noise
    """

class Mean(Reduction):
    outputs = {"mean": "f8"}
    def __init__(self, *, bins: int = 3): pass
    def start(self): return {}
    def absorb_batch(self, state, x): pass
    def merge(self, state, other): pass
    def finish(self, state): return None
    def begin_run(self, run): pass

class Report(Root):
    outputs = {"text": "str"}
    every = 30
    def update(self, frame, scan): pass
'''
    )
    assert list(nodes) == ["spectrum", "Mean", "Report"]
    spectrum = nodes["spectrum"]
    assert spectrum["inputs"] == ["image", "i0"] and spectrum["varargs"]
    assert spectrum["outputs"] == [
        {"name": "total", "dtype": "f8", "shape": None},
        {"name": "image", "dtype": "u2", "shape": [4, None]},
        {"name": "name", "dtype": "str", "shape": None},
    ]
    assert spectrum["params"] == [
        {"name": "threshold", "default": 10.0, "type": "number", "doc": "what is below is noise"},
        {"name": "mode", "default": "sum", "type": "text", "doc": ""},
        {"name": "limit", "default": "Infinity", "type": "number", "doc": ""},
    ]
    mean = nodes["Mean"]
    assert (mean["kind"], mean["batch"], mean["merge"], mean["hooks"]) == ("reduction", True, "custom", ["begin_run"])
    assert (nodes["Report"]["kind"], nodes["Report"]["every"]) == ("root", 30.0)


@pytest.mark.parametrize(
    "source, name, words",
    [
        ("def spectrum(x): pass", "spectrum", "a function without @per_event"),
        (HEAD + "@per_event(outputs={'a': 'f8'})\ndef spectrum(x): pass", "spektrum", "did you mean 'spectrum'?"),
        ("x = 1 +", None, "SyntaxError"),
        ("import no_such_module", None, "ModuleNotFoundError: No module named 'no_such_module' (hits.py:1)"),
        ("raise SystemExit(3)", None, "SystemExit: 3"),
        ("", None, "hits.py has no node"),
        ("class EventProcessor:\n def on_event(self, x): pass", "EventProcessor", "from_ami2"),
    ],
)
def test_says_what_is_wrong_with_a_file(host, source, name, words):
    with pytest.raises(HostError) as error:
        host.describe(source, name)
    assert words in error.value.message


def test_an_answer_that_is_too_long_for_a_packet_comes_through_the_outbox(host):
    functions = "".join(f"@per_event(outputs={{'y': 'f8'}})\ndef f{i}(x):\n    '''{'words ' * 50}'''\n" for i in range(300))
    assert len(host.describe(HEAD + functions)) == 300


def test_every_kind_of_column_arrives(host):
    host.load(
        HEAD
        + """
@per_event(outputs={"seen": "str"})
def seen(a, b, c, d):
    assert not any(getattr(v, "flags", None) is not None and v.ndim and v.flags.writeable for v in (b, c))
    return f"{type(a).__name__} {a} {b.dtype}{b.tolist()} {c.dtype}{c.tolist()} {d}"
""",
        "seen",
    )
    dense = np.arange(12, dtype="u2").reshape(3, 2, 2)
    pieces = [np.arange(i + 1, dtype="f4") for i in range(3)]
    answer = host.events(
        host.scalars([1.5, 2.5, 3.5], "f4"),
        host.dense(dense, gap=40),
        host.arrays(pieces, "f4"),
        host.texts(["x", "é", ""]),
        count=3,
    )
    assert answer["failures"] == []
    assert outputs(host, answer, 3)[0] == [
        f"float32 {i + 1.5} uint16{dense[i].tolist()} float32{pieces[i].tolist()} {'xé'[i : i + 1]}" for i in range(3)
    ]


def test_only_events_of_the_mask_are_given_and_what_is_absent_there_is_none(host):
    host.load(HEAD + "@per_event(outputs={'y': 'f8', 'seen': 'str'})\ndef f(x, t): return x, str(t)", "f")
    mask = host.mask([1, 0, 1, 1])
    answer = host.events(host.scalars([1, 2, 3, 4], "i4"), host.texts(["a", "b", None, "d"]), count=4, mask=mask)
    assert outputs(host, answer, 4) == [[1, None, 3, 4], ["a", None, "None", "d"]]
    answer = host.events(host.scalars([1, 2], "i4", present=[True, False]), None, count=2)
    assert (answer["failed"], outputs(host, answer, 2)) == (0, [[1, None], ["None", "None"]])


def test_every_kind_of_column_comes_back(host):
    host.load(
        HEAD
        + """
@per_event(outputs={"b": "?", "n": "u1", "x": "f4", "same": "i4[2]", "any": "f8[:]", "t": "str"})
def f(i):
    if i == 3:
        return None
    return i > 1, int(i), float(i), np.full(2, i, "i4"), np.arange(i, dtype="f4"), None if i == 0 else f"é{i}"
""",
        "f",
    )
    answer = host.events(host.scalars([1, 2, 3, 0], "i8"), count=4)
    assert [c["k"] for c in answer["outputs"]] == ["s", "s", "s", "a", "a", "t"]
    b, n, x, same, any_, t = outputs(host, answer, 4)
    assert (b, n, x, t) == ([False, True, None, False], [1, 2, None, 0], [1, 2, None, 0], ["é1", "é2", None, None])
    assert [None if a is None else a.tolist() for a in same] == [[1, 1], [2, 2], None, [0, 0]]
    assert [None if a is None else a.tolist() for a in any_] == [[0], [0, 1], None, []]
    answer = host.events(host.scalars([2, 2], "i8"), count=2)
    assert [c["k"] for c in answer["outputs"]] == ["s", "s", "s", "d", "d", "t"]
    assert [a.tolist() for a in outputs(host, answer, 2)[4]] == [[0, 1]] * 2


def test_an_array_that_is_returned_again_and_changed_is_as_it_was(host):
    host.load(
        HEAD
        + """
class Count(PerEvent):
    outputs = {"n": "i8[1]", "m": "i8"}
    def __init__(self): self.n, self.m = np.zeros(1, "i8"), np.zeros((), "i8")
    def event(self, x):
        self.n += 1
        self.m += 1
        return self.n, self.m
""",
        "Count",
    )
    n, m = outputs(host, host.events(host.scalars([0, 0, 0], "f8"), count=3), 3)
    assert [a.tolist() for a in n] == [[1], [2], [3]] and m == [1, 2, 3]


def test_what_raises_is_absent_and_counted_and_the_rest_goes_on(host):
    source = (
        HEAD + "\n@per_event(outputs={'y': 'f8'})\ndef f(i):\n    if i % 7 == 0:\n        raise ValueError('bad')\n    return i\n"
    )
    host.load(source, "f")
    answer = host.events(host.scalars(range(100), "i8"), count=100)
    assert outputs(host, answer, 100)[0] == [None if i % 7 == 0 else i for i in range(100)]
    assert answer["failed"] == 15 and [f[0] for f in answer["failures"]] == [0, 7, 14]
    _, message, traceback = answer["failures"][0]
    assert message == "ValueError: bad (hits.py:8)"
    assert "raise ValueError('bad')" in traceback and "ami_node" not in traceback


def test_one_number_of_an_event_is_its_own_whatever_the_others_are(host):
    source = (
        HEAD
        + """
@per_event(outputs={'y': 'f8'})
def f(x):
    if x == 5: raise ValueError('five')
    return [2.5, None, True, 10**400, np.float32(0.5), None, 'text', np.float64(x), 3][int(x)]
"""
    )
    host.load(source, "f")
    for xs, expected, count in [
        ([0, 2, 4, 8], [2.5, 1.0, 0.5, 3.0], 0),
        ([0, 5, 8, 5], [2.5, None, 3.0, None], 2),
        (range(9), [2.5, None, 1.0, None, 0.5, None, None, 7.0, 3.0], 3),
    ]:
        xs = list(xs)
        answer = host.events(host.scalars(xs, "f8"), count=len(xs))
        assert outputs(host, answer, len(xs))[0] == expected
        assert answer["failed"] == count, answer


@pytest.mark.parametrize(
    "what", ["sys.exit(1)", "raise KeyboardInterrupt", "return f(i)", "raise Nasty", "raise ValueError('\\ud800')"]
)
def test_any_way_to_fail_is_a_failure_of_the_event(host, what):
    source = (
        HEAD
        + f"import sys\nclass Nasty(Exception):\n    def __str__(self): 1/0\ndef f(i):\n    {what}\nf = per_event(outputs={{'y': 'f8'}})(f)\n"
    )
    host.load(source, "f")
    answer = host.events(host.scalars([1], "i8"), count=1)
    assert answer["failed"] == 1 and answer["outputs"] == [None]
    assert len(answer["failures"][0][2].encode()) <= 4096


@pytest.mark.parametrize(
    "declared, value, words",
    [
        ("f8", "'text'", "output y: declared f8, got str"),
        ("i8", "1.5", "output y: declared i8, got float; return int(value), or declare f8"),
        ("u1", "300", "output y: declared u1, got 300; it holds 0 to 255"),
        ("u1", "np.int64(-1)", "it holds 0 to 255"),
        ("?", "1", "output y: declared ?, got int"),
        ("f8", "1j", "output y: declared f8, got complex"),
        ("f8", "np.zeros(1)", "output y: declared f8, got f8[1]"),
        ("f4[:]", "np.zeros(2)", 'declared f4[:], got f8[2]; return value.astype("f4") or declare f8'),
        ("f8[:, :]", "np.zeros(2)", "declared f8[:, :], got f8[2]"),
        ("f8[3]", "np.zeros(2)", "declared f8[3], got f8[2]"),
        ("str", "b'x'", "declared str, got bytes"),
        ("f8", "(1, 2)", "returned 2 values for 1 output (y)"),
    ],
)
def test_what_does_not_fit_is_a_failure_that_says_why(host, declared, value, words):
    host.load(HEAD + f"@per_event(outputs={{'y': '{declared}'}})\ndef f(i): return {value}", "f")
    answer = host.events(host.scalars([1], "i8"), count=1)
    assert answer["failed"] == 1 and words in answer["failures"][0][1]


@pytest.mark.parametrize(
    "declared, value",
    [
        ("f4", "1.5"),
        ("f4", "np.float64(1.5)"),
        ("f8", "3"),
        ("i8", "np.uint64(3)"),
        ("u1", "True"),
        ("?", "np.bool_(True)"),
        ("f8", "np.array(2.0)"),
    ],
)
def test_a_scalar_is_judged_by_its_value(host, declared, value):
    host.load(HEAD + f"@per_event(outputs={{'y': '{declared}'}})\ndef f(i): return {value}", "f")
    answer = host.events(host.scalars([1], "i8"), count=1)
    assert answer["failed"] == 0 and outputs(host, answer, 1)[0] == [eval(value, {"np": np})]


BATCH = """
@per_event(outputs={"mean": "f8", "twice": "f8[:]", "name": "str"}, batch=True)
def f(images, x):
    assert isinstance(images, np.ndarray) and not images.flags.writeable
    if (x == 3).any():
        raise ValueError("three")
    return images.mean(axis=1), 2.0 * images, [None if v == 1 else str(v) for v in x]
"""


@pytest.mark.parametrize("mask", [None, [1, 0, 1, 1, 1, 1], [1, 1, 1, 0, 1, 1]])
@pytest.mark.parametrize("pieces", [False, True])
def test_a_batch_gets_all_events_and_the_failing_one_is_named(host, mask, pieces):
    host.load(HEAD + BATCH, "f")
    images = np.arange(24.0).reshape(6, 4)
    column = host.arrays(list(images), "f8") if pieces else host.dense(images)
    answer = host.events(column, host.scalars(range(6), "i8"), count=6, mask=None if mask is None else host.mask(mask))
    chosen = [i for i in range(6) if i != 3 and (mask is None or mask[i])]
    mean, twice, name = outputs(host, answer, 6)
    assert mean == [images[i].mean() if i in chosen else None for i in range(6)]
    assert [None if t is None else t.tolist() for t in twice] == [
        (2 * images[i]).tolist() if i in chosen else None for i in range(6)
    ]
    assert name == [str(i) if i in chosen and i != 1 else None for i in range(6)]
    assert answer["failed"] == (mask is None or mask[3]) and all(f[0] == 3 for f in answer["failures"])


def test_a_batch_of_what_differs_in_shape_is_a_list(host):
    host.load(
        HEAD
        + "@per_event(outputs={'n': 'i8'}, batch=True)\ndef f(a):\n    assert isinstance(a, list)\n    return [len(v) for v in a]",
        "f",
    )
    answer = host.events(host.arrays([np.zeros(2), np.zeros(3)], "f8"), count=2)
    assert outputs(host, answer, 2) == [[2, 3]]


def test_a_batch_can_be_done_one_by_one_and_says_where_it_is(host):
    host.load(HEAD + "@per_event(outputs={'n': 'i8'}, batch=True)\ndef f(a): return [len(a)] * len(a)", "f")
    before = host.number()[1]
    answer = host.events(host.scalars([1, 2, 3], "f8"), count=3, one_by_one=True)
    assert outputs(host, answer, 3) == [[1, 1, 1]]
    assert host.number() == [2**64 - 1, before + 3]


def test_what_a_batch_returns_and_does_not_fit_fails_all_of_it(host):
    host.load(HEAD + "@per_event(outputs={'n': 'u1'}, batch=True)\ndef f(a): return a.sum() if a[0] else a", "f")
    answer = host.events(host.scalars([1, 2], "i8"), count=2)
    assert answer["failed"] == 2 and "the first axis is that of the 2 events" in answer["failures"][0][1]
    answer = host.events(host.scalars([0, 200], "i8"), count=2)
    assert outputs(host, answer, 2) == [[0, 200]]
    assert host.events(host.scalars([0, 300], "i8"), count=2)["failed"] == 2


SUM = """
class Sum(Reduction):
    outputs = {"sum": "f8[:]", "n": "i8", "names": "str"}
    def start(self): return {"sum": np.zeros(2), "deep": {"n": 0, "any": False, "name": "é"}}
    def absorb(self, state, x):
        state["deep"]["n"] += 1
        if x % 7 == 3:
            raise ValueError("seventh")
        state["sum"] += x
        state["deep"]["any"] |= bool(x > 5)
    def finish(self, state): return state["sum"], state["deep"]["n"], state["deep"]["name"] + str(state["deep"]["any"])
"""


@pytest.mark.parametrize("times", [1, 2])
def test_absorbs_and_leaves_out_what_raises(host, times):
    host.load(HEAD + SUM, "Sum")
    state = None
    for _ in range(times):  # the second call is careful from its beginning
        answer = host.absorb(host.scalars(range(20), "i8"), count=20, state=state)
        assert answer["failed"] == 3 and [f[0] for f in answer["failures"]] == [3, 10, 17]
        state = answer["token"]
    data = host.state(answer["state"])
    deep = decode(data, 0, len(data), copy=True)["deep"]
    assert deep == {"n": 17 * times, "any": True, "name": "é"} and type(deep["any"]) is bool
    merged = host.state(host.call(call="merge", id=1, states=[host.blob(data)] * 3)["state"])
    total = 3.0 * times * (190 - 30)
    assert [c[0] if not hasattr(c[0], "tolist") else c[0].tolist() for c in outputs(host, host.call(call="finish", id=1, state=host.blob(merged)), 1)] == [
        [total, total], 51 * times, "éTrue",
    ]  # fmt: skip


def test_a_state_may_come_as_bytes_and_only_the_newest_token_is_known(host):
    host.load(HEAD + SUM, "Sum")
    first = host.absorb(host.scalars([1, 2], "i8"), count=2)
    data = host.state(first["state"])
    from_bytes = host.absorb(host.scalars([4], "i8"), count=1, state=host.blob(data))
    n = decode(host.state(from_bytes["state"]), 0, from_bytes["state"][1], copy=True)["deep"]["n"]
    assert n == 3 and from_bytes["token"] != first["token"]
    with pytest.raises(HostError) as error:
        host.absorb(host.scalars([4], "i8"), count=1, state=first["token"])
    assert error.value.message == "unknown token"


@pytest.mark.parametrize(
    "value, words",
    [
        ("[1]", 'state["a"]["b"]: list; use a numpy array'),
        ("None", 'state["a"]["b"]: NoneType; leave the key out'),
        ("np.array([None])", "object"),
        ("np.array([1j])", "complex128"),
        ("np.zeros(2, 'f8,i4')", 'state["a"]["b"]'),
        ("np.array(['2020'], 'M8[D]')", "datetime64"),
        ("np.array(['a'])", "<U1"),
        ("object()", "object"),
        ("2**70", "more than 64 bits"),
        ("{'$': 1}", "the key '$'"),
        ("{1: 1}", "the key 1"),
        ("np.zeros(2, 'f2')", "float16"),
        ("len", "builtin_function_or_method"),
    ],
)
def test_a_state_is_plain_data(host, value, words):
    host.load(
        HEAD
        + f"""
class Odd(Reduction):
    outputs = {{"y": "f8"}}
    def start(self): return {{"a": {{}}}}
    def absorb(self, state, x): state["a"]["b"] = {value}
    def finish(self, state): return 0
""",
        "Odd",
    )
    with pytest.raises(HostError) as error:
        host.absorb(host.scalars([4], "i8"), count=1)
    assert error.value.message.startswith("TypeError") and words in error.value.message


def test_a_state_never_refers_to_the_inputs(host):
    host.load(
        HEAD
        + """
class Last(Reduction):
    outputs = {"y": "f8[:]"}
    def start(self): return {"last": np.zeros(2)}
    def absorb(self, state, x): state["last"] = x
    def merge(self, state, other): return other
    def finish(self, state):
        state["last"] += 1
        return state["last"]
""",
        "Last",
    )
    first = host.absorb(host.dense(np.array([[1.0, 2.0]])), count=1)
    again = host.absorb(host.dense(np.array([[9.0, 9.0]])), count=1, state=first["token"], mask=host.mask([0]))
    data = host.state(again["state"])
    assert decode(data, 0, len(data), copy=True)["last"].tolist() == [1.0, 2.0]
    assert outputs(host, host.call(call="finish", id=1, state=host.blob(data)), 1)[0][0].tolist() == [2.0, 3.0]


def test_merging_what_does_not_match_says_where(host):
    host.load(HEAD + SUM, "Sum")
    one, other = ({"sum": np.zeros(n), "deep": {"n": 1}} for n in (2, 3))
    with pytest.raises(HostError) as error:
        host.call(call="merge", id=1, states=[host.blob(encode_bytes(one)), host.blob(encode_bytes(other))])
    assert 'state["sum"]: f8[2] and f8[3]; let start() make what absorb leaves' in error.value.message


def test_absorbs_batches_and_finds_the_bad_event(host):
    host.load(
        HEAD
        + """
class Mean(Reduction):
    outputs = {"mean": "f8"}
    def start(self): return {"sum": 0.0, "n": 0}
    def absorb_batch(self, state, x):
        state["n"] += len(x)
        if (x == 5).any(): raise ValueError
        state["sum"] += x.sum()
    def finish(self, state): return state["sum"] / state["n"]
""",
        "Mean",
    )
    answer = host.absorb(host.scalars(range(10), "f8"), count=10)
    assert answer["failed"] == 1 and answer["failures"][0][0] == 5
    finished = host.call(call="finish", id=1, state=host.blob(host.state(answer["state"])))
    assert outputs(host, finished, 1) == [[40 / 9]]


def test_hooks_are_called_between_runs_and_steps(host):
    host.load(
        HEAD
        + """
class Hooks(PerEvent):
    outputs = {"log": "str"}
    def __init__(self): self.log = []
    def begin_run(self, run): self.log.append(f"+run{run}")
    def end_run(self): self.log.append("-run")
    def begin_step(self, step, held):
        self.log.append(f"+step{step}{held}")
        if step == 2: raise ValueError("second")
    def end_step(self, step): self.log.append(f"-step{step}")
    def event(self, x):
        log, self.log = self.log, []
        return " ".join(log)
""",
        "Hooks",
    )

    def logged(**context):
        answer = host.events(host.scalars([1], "f8"), count=1, context=context)
        return outputs(host, answer, 1)[0][0], answer

    assert logged(run=3, step=None, held={})[0] == "+run3"
    assert logged(run=3, step=1, held={"motor": 0.5})[0] == "+step1{'motor': 0.5}"
    assert logged(run=3, step=1)[0] == ""
    log, answer = logged(run=3, step=2)
    assert log == "-step1 +step2{}" and answer["failed"] == 0
    assert answer["failures"][0][:2] == [-1, "ValueError: second (hits.py:12)"]
    assert logged(run=4, step=2)[0].startswith("-step2 -run +run4 +step2")
    assert logged(run=4, step=None)[0] == "-step2"


def test_root_updates_with_absent_inputs(host):
    host.load(
        HEAD
        + """
class Report(Root):
    outputs = {"text": "str", "n": "i8"}
    def update(self, frame, image, scan):
        return None if frame["run"] == 0 else (f"{frame['run']} {image is None} {scan}", frame["events"])
""",
        "Report",
    )
    answer = host.call(
        call="update", id=1, frame={"run": 7, "events": 5}, events=1, mask=None, columns=[None, host.scalars([2.5], "f8")]
    )
    assert outputs(host, answer, 1) == [["7 True 2.5"], [5]] and answer["failed"] == 0
    answer = host.call(call="update", id=1, frame={"run": 0}, events=1, mask=None, columns=[None, None])
    assert answer["outputs"] == [None, None]


def test_parameters_are_checked_and_set(host):
    source = (
        HEAD
        + "@per_event(outputs={'y': 'f8'})\ndef f(x, *, k=2, low=0.5, on=True, names=(), best: float = None): return x * k + low"
    )
    host.load(source, "f", k=3.0, low=1, names=["a"], best=None)
    host.load(source, "f", id=2)
    columns = [host.scalars([1, 2], "i8")]
    assert outputs(host, host.events(*columns, count=2), 2) == [[4.0, 7.0]]
    assert outputs(host, host.events(host.scalars([1, 2], "i8"), count=2, id=2), 2) == [[2.5, 4.5]]
    for params, words in [
        ({"kk": 1}, "did you mean 'k'?"),
        ({"k": 1.5}, "takes a value of type integer"),
        ({"on": 1}, "type bool"),
    ]:
        with pytest.raises(HostError) as error:
            host.load(source, "f", **params)
        assert words in error.value.message


def test_versions_of_a_file_live_side_by_side(host):
    for id, factor in ((1, 2), (2, 3)):
        host.load(
            HEAD + f"@per_event(outputs={{'y': 'f8'}})\ndef f(x): return x * {factor} / (x - 1)  # version {factor}", "f", id=id
        )
    for id, factor in ((1, 2), (2, 3), (1, 2)):
        answer = host.events(host.scalars([2], "i8"), count=1, id=id)
        assert outputs(host, answer, 1) == [[2.0 * factor]]
    host.load(HEAD + "@per_event(outputs={'y': 'f8'})\ndef f(x): raise ValueError  # third", "f", id=3)
    assert "# third" in host.events(host.scalars([2], "i8"), count=1, id=3)["failures"][0][2]
    host.call(call="unload", id=3)
    with pytest.raises(HostError, match="nothing is loaded as 3"):
        host.events(host.scalars([2], "i8"), count=1, id=3)


def test_files_are_mapped_and_mapped_again(host, tmp_path):
    host.load(HEAD + "@per_event(outputs={'y': 'u8'}, batch=True)\ndef f(a): return a.sum(axis=1)", "f")
    for factor in (1, 2):
        path = tmp_path / f"ring{factor}"
        path.write_bytes(b"\0" * 10 + (np.arange(6, dtype="u2") * factor).tobytes())
        host.call(call="map", m=1, path=str(path))
        answer = host.events({"k": "d", "t": "u2", "m": 1, "at": 10, "stride": 6, "shape": [3]}, count=2)
        assert outputs(host, answer, 2) == [[3 * factor, 12 * factor]]
    host.call(call="unmap", m=1)
    with pytest.raises(HostError, match="map 1 is not mapped"):
        host.events({"k": "d", "t": "u2", "m": 1, "at": 10, "stride": 6, "shape": [3]}, count=2)


def test_a_call_that_makes_no_sense_is_an_error_and_not_the_end(host):
    for call in (
        {"call": "dance"},
        {"call": "events", "id": 1, "events": 1 << 40, "columns": [{"k": "s", "t": "f8", "at": 0}]},
        {},
    ):
        with pytest.raises(HostError):
            host.call(**call)
    with pytest.raises(HostError, match="cut off"):
        host.load(HEAD + SUM, "Sum")
        host.call(call="finish", id=1, state=host.blob(b"\xff\xff"))


def test_a_check_goes_through_the_host(host):
    host.load(HEAD + SUM, "Sum")
    report = host.call(call="check", id=1, events=20, mask=None, columns=[host.scalars(range(20), "i8")])
    assert report["failed"] == 3 and report["split"]["ok"] and not report["ok"]
    json.dumps(report, allow_nan=False)
