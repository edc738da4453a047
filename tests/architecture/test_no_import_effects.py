"""
Importing any module of the library changes nothing but `sys.modules`.

A library that changes the process when it is loaded changes programs that merely have it somewhere
in their imports. What has to be set up is set up at the first use, or by a call that says so.
"""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.architecture.source_tree import module_names

ENTRY = "libp2p.ipfs_lite.__main__"

_OTHERS = """
import importlib, json, sys
for name in json.load(sys.stdin):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.startswith("libp2p"):
            raise
print(json.dumps([name for name in sys.modules if name.partition(".")[0] != "libp2p"]))
"""
"""Imports the library and tells which modules of others that has loaded."""

_COMPARE = """
import atexit, builtins, faulthandler, gc, hashlib, importlib, json, locale
import logging, os, random, signal, socket, sys, threading, tracemalloc, warnings

def state():
    found = {
        "the working directory": os.getcwd(),
        "the environment": dict(os.environ),
        "the switch interval": sys.getswitchinterval(),
        "the recursion limit": sys.getrecursionlimit(),
        "hooks": [sys.excepthook, sys.unraisablehook, sys.displayhook, threading.excepthook],
        "tracing": [sys.gettrace(), sys.getprofile(), tracemalloc.is_tracing()],
        "faulthandler": faulthandler.is_enabled(),
        "garbage collection": [gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()],
        "callbacks of garbage collection": list(gc.callbacks),
        "standard streams": [sys.stdin, sys.stdout, sys.stderr],
        "import hooks": [list(sys.path), list(sys.meta_path), list(sys.path_hooks)],
        "builtins": sorted(vars(builtins)),
        "exit functions": atexit._ncallbacks(),
        "random numbers": hashlib.sha256(repr(random.getstate()).encode()).hexdigest(),
        "time limit of sockets": socket.getdefaulttimeout(),
        "the locale": locale.setlocale(locale.LC_ALL),
        "threads": threading.active_count(),
        "stack size of threads": threading.stack_size(),
        "hooks of async generators": list(sys.get_asyncgen_hooks()),
        "signal handlers": {n: signal.getsignal(n) for n in sorted(signal.valid_signals())},
        "warnings": [list(warnings.filters), warnings.showwarning],
        "logging": [logging.root.level, logging.root.manager.disable, logging.raiseExceptions,
            logging.getLoggerClass(), logging.getLogRecordFactory(), list(logging.root.handlers)],
    }
    if hasattr(os, "umask"):
        os.umask(mask := os.umask(0o77))
        found["the umask"] = mask
    if sys.platform != "win32":
        import resource
        limits = [vars(resource)[name] for name in dir(resource) if name.startswith("RLIMIT_")]
        found["limits of the system"] = [resource.getrlimit(limit) for limit in limits]
    if sys.platform == "linux":
        found["open files"] = len(os.listdir("/proc/self/fd"))
    for name, logger in sorted(logging.root.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and name.partition(".")[0] != "libp2p":
            found[f"the logger {name}"] = [logger.level, logger.disabled, logger.propagate,
                list(logger.handlers), list(logger.filters)]
    for name, module in OTHERS.items():
        found[f"{name}, its tables"] = {
            attribute: list(value.items()) if isinstance(value, dict) else list(value)
            for attribute, value in sorted(vars(module).items())
            if isinstance(value, (dict, list, set)) and not attribute.startswith("__")
        }
    return found

names, others = json.load(sys.stdin)
for name in others:
    try:
        importlib.import_module(name)
    except Exception:
        pass  # a part that only its package can load
OTHERS = {
    name: module for name, module in sys.modules.items()
    if name.partition(".")[0] in ("multiaddr", "trio", "OpenSSL", "nacl", "cid", "multihash")
}
faults, before = [], state()
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue  # an extra that is not installed
    after = state()
    faults += [f"{name} changes {what}" for what in after if before.get(what) != after[what]]
    faults += [f"{name} makes {what}" for what in after.keys() - before.keys()
               if not what.startswith("the logger")]
    before = after
own = [
    f"the logger {name} has the level {logger.level} and {logger.handlers}"
    for name, logger in logging.root.manager.loggerDict.items()
    if isinstance(logger, logging.Logger) and name.partition(".")[0] == "libp2p"
    if logger.level or any(type(h) is not logging.NullHandler for h in logger.handlers)
]
allocator = sys.modules.get("libp2p.utils.allocator")
if allocator is not None and allocator._allocator._keeps_memory:
    own.append("the allocator has been told to keep memory")
print(json.dumps(faults + own))
"""


def run(code: str, given: object) -> list[str]:
    """Run a program in a fresh interpreter: JSON in, JSON out."""
    done = subprocess.run(
        [sys.executable, "-bb", "-c", code],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: list[str] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_importing_changes_nothing() -> None:
    names = sorted(module_names())
    assert ENTRY in names
    others = run(_OTHERS, names)
    assert run(_COMPARE, [names, others]) == []


@pytest.mark.slow
def test_a_change_is_noticed() -> None:
    changing = "this"  # prints a poem when it is imported
    code = _COMPARE.replace("importlib.import_module(name)\n    except ModuleNotFound", CHANGES)
    faults = run(code, [[changing], ["multiaddr.codecs", "logging"]])
    assert faults == [
        "this changes the umask",
        "this changes the logger multiaddr",
        "this changes multiaddr.codecs, its tables",
    ]


CHANGES = """os.umask(0o77)
        logging.getLogger("multiaddr").setLevel(10)
        sys.modules["multiaddr.codecs"].CODEC_CACHE["x"] = 1
    except ModuleNotFound"""
"""What takes the place of an import."""
