"""Bitswap's errors: short, and the same after a copy or a pickle."""

from __future__ import annotations

import copy
import inspect
import pickle

import pytest

from libp2p.bitswap import errors
from libp2p.bitswap.errors import (
    BitswapError,
    BlockNotFoundError,
    PeerAnswer,
    not_stored,
    timed_out,
    unavailable,
)
from libp2p.ipld.cid import CID
from tests.support.fake_host import peer_id

X = CID.for_block(b"x")
MANY = {peer_id(f"{n:030}"): PeerAnswer.DONT_HAVE for n in range(200)}
KINDS = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, BitswapError)
]


@pytest.mark.parametrize(
    "error", [unavailable(X, MANY, 3), timed_out(X, 5, MANY), not_stored(X, OSError("x" * 10_000))]
)
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_errors_survive_with_all_that_they_say(error: BitswapError, again: object) -> None:
    assert callable(again)
    other = again(error)
    assert type(other) is type(error)
    assert other is not error
    assert str(other) == str(error)
    assert vars(other) == vars(error)
    assert repr(other.__cause__) == repr(error.__cause__)
    assert len(str(error)) < 800


def test_a_long_list_of_peers_is_counted_in_the_text_and_whole_in_the_attribute() -> None:
    error = unavailable(X, MANY)
    assert isinstance(error, BlockNotFoundError)
    assert str(error).endswith("and 195 more")
    assert error.peers == MANY


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_pickled(kind: type[BitswapError]) -> None:
    error = kind("something")
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)
