"""What people write in Python for ami: functions and classes that run in a graph beside its operations."""

from .check import check
from .describe import describe
from .errors import NodeError
from .node import FunctionNode, PerEvent, Reduction, Root, State, per_event

__all__ = ["FunctionNode", "NodeError", "PerEvent", "Reduction", "Root", "State", "check", "describe", "per_event"]
__version__ = "0.1.0"
