"""Systems that ask for keys, from Python."""

import socket
import subprocess
import sys

import pytest
import zmq
from live import BIN, REPO, System, missing, until
from zmq.auth import load_certificate

from ami_client import AmiError, Manager, Store

GRAPH = {"name": "k", "nodes": {"n": {"op": "count", "in": "mixed:raw:poisson"}}}
ENDPOINTS = ("store", "query", "manager")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A system whose clients' endpoints are tcp with keys: (directory, addresses by endpoint)."""
    if missing():
        pytest.skip(missing())
    where = tmp_path_factory.mktemp("keys")
    allowed = f"security.allowed={where / 'allowed'}"

    def keys(*words):
        subprocess.run([str(BIN / "ami-ctl"), "keys", *words, "--set", allowed], cwd=where, check=True)

    for name in ("ami", "ann", "bob", "eve"):
        keys("new", name)
    keys("allow", "ann", "edit")
    keys("allow", "bob", "view")
    held = [socket.create_server(("127.0.0.1", 0)) for _ in ENDPOINTS]
    addresses = {name: f"tcp://127.0.0.1:{s.getsockname()[1]}" for name, s in zip(ENDPOINTS, held)}
    for one in held:
        one.close()
    options = [f"endpoints.{name}={address}" for name, address in addresses.items()]
    options += ["security.mode=curve", allowed]
    options += [f"security.key={where / 'ami.key_secret'}", f"security.server_key={where / 'ami.key'}"]
    with System("sim:mixed?pace=2000&loop=forever", GRAPH, options=options):
        yield where, addresses


def test_a_key_reads_and_edits_as_its_role_says(site):
    where, at = site
    keys = {"server_key": where / "ami.key"}
    with Store(at["store"], query=at["query"], key=where / "bob.key_secret", **keys) as store:
        assert until(lambda: store.get("k/n")).topic == "k/n"
        with store.subscribe("k/n", timeout=30) as features:
            assert next(features).topic == "k/n"
    with Manager(at["manager"], key=where / "bob.key_secret", **keys) as manager:
        assert manager.graphs()
        with pytest.raises(AmiError, match="role view"):
            manager.remove("k")
    with Manager(at["manager"], key=where / "ann.key_secret", **keys) as manager:
        manager.apply(GRAPH)
        with pytest.raises(AmiError, match="this needs operate"):
            manager.reset("k")


def test_without_the_right_key_nothing_comes(site):
    where, at = site
    for given in ({}, {"key": where / "eve.key_secret", "server_key": where / "ami.key"}):
        with Store(at["store"], query=at["query"], timeout=1, **given) as store:
            with pytest.raises(AmiError, match="no answer"):
                store.list()


def test_five_lines_of_pyzmq(site):
    where, at = site
    script = REPO / "examples" / "python" / "bare_pyzmq_keys.py"
    arguments = [at["store"], where / "bob.key_secret", where / "ami.key"]
    done = subprocess.run([sys.executable, script, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "k/n" in done.stdout, done.stderr


def test_key_files_are_those_of_pyzmq(tmp_path):
    if missing():
        pytest.skip(missing())
    subprocess.run([str(BIN / "ami-ctl"), "keys", "new", "ann"], cwd=tmp_path, check=True, stdout=subprocess.DEVNULL)
    public, secret = load_certificate(tmp_path / "ann.key_secret")
    assert secret and zmq.curve_public(secret) == public == load_certificate(tmp_path / "ann.key")[0]
    with pytest.raises(AmiError, match="server_key"):
        Store("tcp://127.0.0.1", key=tmp_path / "ann.key_secret")
    with pytest.raises(AmiError, match="no secret key"):
        Store("tcp://127.0.0.1", key=tmp_path / "ann.key", server_key=tmp_path / "ann.key")
