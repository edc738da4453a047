"""Errors travel: to other processes by pickle, to several waiters by copy; and they stay short."""

from __future__ import annotations

import copy
import inspect
import pickle
import pkgutil
from importlib import import_module
from typing import TYPE_CHECKING, Any

import pytest

import libp2p
from libp2p.bitswap.errors import PeerAnswer
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.exceptions import (
    BaseLibp2pError,
    DialError,
    MultiError,
    OpenConnectionError,
    SwarmDialAllFailedError,
    first_few,
)
from libp2p.ipld.cid import CID
from libp2p.peer.id import ID

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PEERS = [ID.from_pubkey(create_new_key_pair(bytes([i] * 32)).public_key) for i in range(200)]


def exception_classes() -> list[type[BaseException]]:
    """Return every exception class that the library defines and a program may see."""
    for module in pkgutil.walk_packages(libp2p.__path__, "libp2p."):
        if not module.name.endswith("__main__"):
            import_module(module.name)

    def below(kind: type[BaseException]) -> Iterator[type[BaseException]]:
        for sub in type.__subclasses__(kind):
            yield sub
            yield from below(sub)

    found = {
        kind
        for kind in below(BaseException)
        if kind.__module__.startswith("libp2p.") and not kind.__name__.startswith("_")
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def a_pickle(error: BaseException) -> BaseException:
    returned: BaseException = pickle.loads(pickle.dumps(error))
    return returned


CARRIERS: list[Callable[[BaseException], BaseException]] = [a_pickle, copy.copy, copy.deepcopy]
SAMPLES: dict[str, object] = {
    "message": "what happened",
    "address": "/ip4/192.0.2.1/tcp/4001",
    "reason": "refused",
    "cid": CID.for_block(b"x"),
    "peers": {PEERS[0]: PeerAnswer.SILENT},
    "peer_id": PEERS[1],
    "errors": [DialError("/dns4/a", "no such name")],
    "routers": {"dht": "timed out"},
    "by_router": {"dht": DialError("/dns4/a", "no such name")},
    "code": 7,
    "remote": False,
}


def sample_of(kind: type[BaseException]) -> BaseException:
    """Make an error with a value for each of its constructor's parameters."""
    make: Any = kind
    names = ["message"]
    if inspect.isfunction(kind.__init__):
        names = list(inspect.signature(kind).parameters)
    error: BaseException = make(*(SAMPLES.get(name, 3) for name in names))
    return error


@pytest.mark.parametrize("carry", CARRIERS)
@pytest.mark.parametrize("kind", exception_classes(), ids=lambda kind: kind.__qualname__)
def test_every_error_survives(
    kind: type[BaseException], carry: Callable[[BaseException], BaseException]
) -> None:
    error = sample_of(kind)
    error.__cause__ = DialError("/dns4/b", "out of reach")
    error.__cause__.__cause__ = OSError(101, "Network is unreachable")
    error.add_note("while dialling")
    carried = carry(error)
    assert type(carried) is kind
    assert carried is not error
    assert str(carried) == str(error)
    assert carried.args == error.args
    assert repr(vars(carried)) == repr(vars(error))
    assert carried.__traceback__ is None
    assert isinstance(carried.__cause__, DialError)
    assert str(carried.__cause__) == "/dns4/b: out of reach"
    assert str(carried.__cause__.__cause__) == "[Errno 101] Network is unreachable"


class Unmovable(Exception):
    """One that pickle cannot make again."""

    def __init__(self, one: object, two: object) -> None:
        super().__init__(f"{one} and {two}")


class Misleading(Exception):
    """One that pickle cannot even take apart."""

    def __reduce__(self) -> str:
        raise RuntimeError("no")


@pytest.mark.parametrize("cause", [Unmovable("a", "b"), Misleading("a and b")])
def test_of_a_cause_that_cannot_be_pickled_the_text_stays(cause: Exception) -> None:
    error = OpenConnectionError("no connection")
    error.__cause__ = cause
    carried = a_pickle(error)
    assert str(carried.__cause__) == f"{type(cause).__name__}: a and b"
    assert copy.copy(error).__cause__ is cause
    assert str(a_pickle(carried).__cause__) == f"{type(cause).__name__}: a and b"


def test_an_error_without_a_cause_has_none_afterwards() -> None:
    error = BaseLibp2pError("what happened")
    for carry in CARRIERS:
        carried = carry(error)
        assert carried.__cause__ is None
        assert not carried.__suppress_context__


def test_the_first_few() -> None:
    assert first_few([]) == ""
    assert first_few(iter(["a", "b"])) == "a, b"
    assert first_few("abcde") == "a, b, c, d, e"
    assert first_few("abcdef") == "a, b, c, d, e and 1 more"
    assert first_few("abcdef", 2, "; ") == "a; b and 4 more"


def test_errors_of_many_parts_stay_short() -> None:
    errors = [DialError(f"/ip4/192.0.2.{i}/tcp/4001", "refused") for i in range(200)]
    together = MultiError(errors)
    assert len(str(together)) < 300
    assert str(together).endswith(" and 195 more")
    assert together.errors == errors
    dial = SwarmDialAllFailedError.of(PEERS[0], errors)
    assert len(str(dial)) < 400
    assert dial.errors == errors
    assert dial.num_addrs_tried == 200
    assert dial.peer_id == PEERS[0]
    assert str(SwarmDialAllFailedError.of(PEERS[0], [])).endswith("no address is known")
