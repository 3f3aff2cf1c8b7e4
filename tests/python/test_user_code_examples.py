"""The examples of user code, each in a real system, against what they say comes out."""

import importlib.util
import os
import re
import subprocess
import sys

import pytest
from live import BIN, REPO, missing

FOLDER = REPO / "examples" / "user-code"
EXAMPLES = sorted(path.parent.name for path in FOLDER.glob("*/expected.json"))


@pytest.mark.parametrize("name", EXAMPLES)
def test_user_code_example(name):
    if missing():
        pytest.skip(missing())
    if importlib.util.find_spec("numpy") is None:
        pytest.skip(f"skipped: {sys.executable} has no numpy")
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, str(FOLDER / "check.py"), "--python", sys.executable, name]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_example_is_checked():
    assert EXAMPLES == sorted(path.name for path in FOLDER.iterdir() if (path / "graph.json").exists())
    assert EXAMPLES


def test_code_in_the_documentation_is_accepted():
    text = (REPO / "docs" / "user-code.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    ask = "import sys, ami_node; print(*ami_node.describe(sys.stdin.read(), file='user-code.md'))"
    environment = {**os.environ, "PYTHONPATH": str(REPO / "ami-worker" / "python" / "src")}
    command = [sys.executable, "-c", ask]
    done = subprocess.run(command, input=code, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["spectrum", "Background", "Radial", "Report"], done.stderr
