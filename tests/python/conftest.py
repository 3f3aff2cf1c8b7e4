"""What the tests of the whole system share with those of the client."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "ami-store" / "python" / "tests"))
