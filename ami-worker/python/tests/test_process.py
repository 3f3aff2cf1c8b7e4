"""The host as a process: it ends with ami, whatever user code does, and harms nobody else."""

import contextlib
import os
import re
import signal
import time

import numpy as np
import pytest
from driver import Driver, Gone, HostError

HEAD = """
import numpy as np, os, sys, time, ctypes, logging, subprocess
from ami_node import per_event, PerEvent, Reduction, Root
"""


def node(body, outputs="{'y': 'f8'}", **more):
    options = "".join(f", {k}={v!r}" for k, v in more.items())
    return HEAD + f"@per_event(outputs={outputs}{options})\ndef f(x):\n    " + body.replace("\n", "\n    ")


@contextlib.contextmanager
def loaded(source, name="f", **options):
    with Driver(**options) as driver:
        driver.load(source, name)
        yield driver


def alive(pid):
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def members(group):
    """Processes that run in a process group."""
    found = []
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            if os.getpgid(int(name)) == group and alive(name):
                found.append(int(name))
        except ProcessLookupError:
            pass
    return found


def soon(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


CHILD = "child = subprocess.Popen(['sleep', '1000'])\nreturn child.pid"


def test_it_leads_a_group_with_a_guard_and_ends_when_the_socket_closes():
    with loaded(node("return x")) as driver:
        group = driver.ready["pid"]
        assert len(members(group)) == 2
        driver.control.close()
        assert driver.process.wait(20) == 0
        os.close(driver.life)
        soon(lambda: not members(group))
        driver.life = -1


@pytest.mark.parametrize(
    "body",
    [CHILD, "child = subprocess.Popen(['bash', '-c', 'trap \"\" TERM HUP INT; sleep 1000 & sleep 1000'])\nreturn child.pid"],
)
def test_no_end_of_ami_leaves_a_process(body):
    with loaded(node(body)) as driver:
        group = driver.ready["pid"]
        driver.events(driver.scalars([1], "f8"), count=1)
        assert len(members(group)) >= 3
        os.close(driver.life)
        driver.life = -1
        soon(lambda: not members(group))
        assert driver.process.wait(20) == -signal.SIGKILL


def test_what_a_crashed_host_started_ends_with_the_pipe():
    with loaded(node("subprocess.Popen(['sleep', '1000'])\nos.kill(os.getpid(), 11)")) as driver:
        group = driver.ready["pid"]
        with pytest.raises(Gone):
            driver.events(driver.scalars([1], "f8"), count=1)
        assert members(group)
        os.close(driver.life)
        driver.life = -1
        soon(lambda: not members(group))


def test_children_of_user_code_do_not_get_the_descriptors():
    with loaded(node("return subprocess.call(['bash', '-c', 'ls /proc/self/fd | grep -cE \"^[3456]$\" >&2'])")) as driver:
        driver.events(driver.scalars([1], "f8"), count=1)
        # `ls` itself has 3 open, for the directory.
        assert driver.said("1") and driver.lines == ["1"]


def test_inputs_cannot_be_written():
    source = node("x[0] = 1", "{'y': 'f8'}") + "\n@per_event(outputs={'y': 'f8'})\ndef g(x):\n    x.flags.writeable = True"
    with loaded(source) as driver:
        driver.load(source, "g", id=2)
        for id in (1, 2):
            for column in (lambda: driver.dense(np.ones((1, 2))), lambda: driver.arrays([np.ones(2)], "f8")):
                answer = driver.events(column(), count=1, id=id)
                assert answer["failed"] == 1 and answer["failures"][0][1].startswith("ValueError")


def test_who_writes_to_inputs_by_force_dies_alone():
    with loaded(node("if x[0] == 2:\n    ctypes.memset(x.ctypes.data, 7, 8)\nreturn 1")) as driver:
        with pytest.raises(Gone) as gone:
            driver.events(driver.dense(np.array([[1.0], [2.0], [3.0]])), count=3)
        assert gone.value.args[0] == -signal.SIGSEGV
        assert driver.number()[0] == 1  # the event that did it
        assert np.frombuffer(driver.inbox[128 : 128 + 8]).shape == (1,)


@pytest.mark.parametrize("batch", [False, True])
def test_a_death_names_its_event(batch):
    body = "if np.any(x == 5):\n    os._exit(9)\nreturn x"
    with loaded(node(body, batch=batch)) as driver:
        with pytest.raises(Gone) as gone:
            driver.events(driver.scalars(range(10), "f8"), count=10)
        assert gone.value.args[0] == 9
        assert driver.number()[0] == (2**64 - 2 if batch else 5)
    with loaded(node(body, batch=batch)) as driver:
        with pytest.raises(Gone):
            driver.events(driver.scalars(range(10), "f8"), count=10, one_by_one=True)
        assert driver.number()[0] == 5


def test_an_endless_loop_shows_in_the_number():
    with loaded(node("while x == 3: time.sleep(0.01)\nreturn x")) as driver:
        driver.send(call="events", id=1, events=5, mask=None, columns=[driver.scalars(range(5), "f8")])
        soon(lambda: driver.number()[0] == 3)
        stands = driver.number()
        time.sleep(0.1)
        assert driver.number() == stands
        driver.process.kill()


@pytest.mark.parametrize("descriptors", ["(3,)", "(3, 4, 5)", "range(100)"])
def test_who_closes_our_descriptors_ends_the_host_with_its_own_code(descriptors):
    with loaded(node(f"for d in {descriptors}:\n    try: os.close(d)\n    except OSError: pass\nreturn x")) as driver:
        with pytest.raises(Gone) as gone:
            driver.events(driver.scalars([1], "f8"), count=1)
        assert gone.value.args[0] == 70


def test_memory_beyond_the_limit_is_a_failure_of_the_event():
    with loaded(node("return np.ones(int(x)).sum()"), memory=100 << 20) as driver:
        answer = driver.events(driver.scalars([10, 1e9, 20], "f8"), count=3)
        assert driver.values(answer["outputs"][0], 3) == [10, None, 20]
        assert re.search(r"MemoryError.*\(hits.py:6\)", answer["failures"][0][1])


def test_memory_that_is_kept_to_the_last_byte_does_not_silence_the_host():
    source = node("while True: kept.append(bytearray(3000))") + "\nkept = []"
    with loaded(source, memory=50 << 20) as driver:
        for _ in range(3):
            answer = driver.events(driver.scalars([1, 2], "f8"), count=2)
            assert answer["failed"] == 2 and "MemoryError" in answer["failures"][0][1]


def test_the_outbox_grows_up_to_its_limit():
    with loaded(node("return np.full(int(x), x)", "{'y': 'f8[:]'}"), outbox=1 << 20) as driver:
        sizes = [10, 5000, 60000, 10**6, 20]
        answer = driver.events(driver.scalars(sizes, "f8"), count=5)
        values = driver.values(answer["outputs"][0], 5)
        assert [None if v is None else (len(v), v[0]) for v in values] == [(10, 10), (5000, 5000), (60000, 60000), None, (20, 20)]
        assert answer["failures"][0][0] == 3 and "result too large: " in answer["failures"][0][1]
        assert 500_000 < driver.answer["outbox"] <= 1 << 20
        driver.load(HEAD + BIG, "Big", id=2)
        with pytest.raises(HostError, match="result too large"):
            driver.absorb(driver.scalars([1], "f8"), count=1, id=2)
        assert driver.events(driver.scalars([1], "f8"), count=1)["failed"] == 0


def test_what_says_where_results_are_fits_even_when_they_fill_the_outbox():
    with loaded(node("return np.ones(int(x))", "{'y': 'f8[:]'}"), outbox=1 << 16) as driver:
        answer = driver.events(driver.scalars(range(300), "f8"), count=300)
        values = driver.values(answer["outputs"][0], 300)
        assert 0 < answer["failed"] < 300 and answer["failed"] == sum(v is None for v in values)


BIG = """
class Big(Reduction):
    outputs = {"y": "f8"}
    def start(self): return {"a": np.zeros(1 << 20)}
    def absorb(self, state, x): pass
    def finish(self, state): pass
"""


def test_a_larger_inbox_is_mapped_again_and_views_before_stay():
    source = HEAD + "\nkept = []\n@per_event(outputs={'y': 'f8'})\ndef f(x):\n    kept.append(x)\n    return kept[0].sum()"
    with loaded(source, inbox=8192) as driver:
        driver.events(driver.dense(np.ones((1, 10))), count=1)
        assert driver.size == 8192
        answer = driver.events(driver.dense(np.ones((1, 100000))), count=1)
        assert driver.size > 8192 and driver.values(answer["outputs"][0], 1) == [10]


def test_prints_and_logging_come_through_unchanged():
    body = "print('to stdout')\nlogging.getLogger('mine').info('to %s', 'log')\nlogging.warning('root')\nreturn x"
    with loaded(node(body)) as driver:
        driver.events(driver.scalars([1], "f8"), count=1)
        assert driver.said("to stdout") and driver.said("INFO mine: to log") and driver.said("WARNING root: root")


def test_a_million_lines_do_not_stop_it():
    with loaded(node("for i in range(int(x)): print('line', i)\nreturn x")) as driver:
        answer = driver.events(driver.scalars([1e6], "f8"), count=1)
        assert answer["failed"] == 0 and driver.said("line 999999")
        assert len(driver.lines) == 10**6


def test_threads_and_signals_of_user_code_do_not_keep_it():
    source = node("import threading\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nreturn x")
    with loaded(source) as driver:
        driver.events(driver.scalars([1], "f8"), count=1)
        driver.control.close()
        assert driver.process.wait(20) == 0


def test_a_second_state_in_the_node_is_not_mixed_up():
    source = (
        HEAD
        + "\nclass N(PerEvent):\n    outputs = {'n': 'i8'}\n    n = 0\n    def event(self, x):\n        self.n += 1\n        return self.n"
    )
    with loaded(source, "N") as driver:
        driver.load(source, "N", id=2)
        driver.events(driver.scalars([1, 1], "f8"), count=2)
        assert driver.values(driver.events(driver.scalars([1], "f8"), count=1, id=2)["outputs"][0], 1) == [1]
        assert driver.values(driver.events(driver.scalars([1], "f8"), count=1)["outputs"][0], 1) == [3]
