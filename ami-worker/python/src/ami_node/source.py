"""User code as modules: each distinct source text is imported once in a process."""

from __future__ import annotations

import hashlib
import linecache
import sys
from types import ModuleType
from typing import Dict

_modules: Dict[str, ModuleType] = {}


def import_source(text: str, file: str) -> ModuleType:
    """The module of a source text; what its import raises comes through.

    The name is unique to the text, so that two versions of a file can live side by side.
    """
    digest = hashlib.sha256(f"{file}\0{text}".encode()).hexdigest()[:16]
    if digest in _modules:
        return _modules[digest]
    module = ModuleType(f"ami_code_{digest}")
    module.__file__ = file
    module.__dict__["__ami_source__"] = text
    show_lines(module)
    sys.modules[module.__name__] = module  # dataclasses and pickles look for their module there
    try:
        exec(compile(text, file, "exec"), module.__dict__)
    except BaseException:
        del sys.modules[module.__name__]
        raise
    _modules[digest] = module
    return module


def show_lines(module: ModuleType) -> None:
    """Lets tracebacks show lines of this version of the file: the text is in no file that Python can read."""
    text = module.__dict__.get("__ami_source__")
    if text is not None and module.__file__:
        linecache.cache[module.__file__] = (len(text), None, text.splitlines(True), module.__file__)
