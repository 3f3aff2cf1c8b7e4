"""Client of ami: features from the store, graph edits through the manager."""

from .errors import AmiError
from .feature import Feature
from .manager import Manager
from .store import Store

__all__ = ["AmiError", "Feature", "Manager", "Store"]
__version__ = "0.1.0"
