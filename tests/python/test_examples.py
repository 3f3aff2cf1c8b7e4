"""The examples against a real system."""

import os
import subprocess
import sys

import h5py
import pytest
from live import REPO, System, missing, until

from ami_client import Store

GRAPH = {
    "name": "e",
    "nodes": {
        "mean": {"op": "mean", "in": "mixed:raw:poisson", "window": "heartbeat"},
        "hist": {"op": "hist", "in": "mixed:raw:poisson", "bins": 20, "range": [0, 20]},
    },
    "publish": ["mean", "hist"],
}


@pytest.fixture(scope="module")
def system():
    if missing():
        pytest.skip(missing())
    with System("sim:mixed?pace=2000&loop=forever", GRAPH) as running:
        with Store(running.run_dir) as store:
            until(lambda: store.get("e/hist"))
        yield running


def run(system, name, *arguments):
    environment = {**os.environ, "AMI_RUN_DIR": str(system.run_dir), "MPLBACKEND": "Agg"}
    command = [sys.executable, str(REPO / "examples" / "python" / name), *map(str, arguments)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_bare_pyzmq(system):
    lines = run(system, "bare_pyzmq.py", f"ipc://{system.run_dir}/store.pub", "e/hist").splitlines()
    assert any("counts" in line for line in lines)


def test_save_hdf5(system, tmp_path):
    for times in (1, 2):
        run(system, "save_hdf5.py", "e/hist", tmp_path / "h.h5", "--output", "counts", "--frames", 3)
        with h5py.File(tmp_path / "h.h5") as file:
            assert file["value"].shape == (3 * times, 20) and len(file["heartbeat"]) == 3 * times


@pytest.mark.parametrize("topic", ["e/hist", "e/mean"])
def test_live_plot(system, topic):
    run(system, "live_plot.py", topic, "--frames", 3)
