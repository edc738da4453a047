"""Who owes whom, and what a peer is worth."""

from __future__ import annotations

import pytest

from libp2p.bitswap.config import MAX_ACCOUNTS
from libp2p.bitswap.serve.accounts import Accounts, Receipt
from libp2p.peer.id import ID

ANN, BOB = ID(b"\x00\x03ann"), ID(b"\x00\x03bob")


def test_a_receipt_counts_both_directions() -> None:
    accounts = Accounts()
    accounts.sent(ANN, 2, 3000, 0)
    accounts.sent(ANN, 1, 1000, 1)
    accounts.received(ANN, 1, 1999, 2)
    assert accounts.receipt(ANN) == Receipt(ANN, 2.0, 4000, 1999, 4)
    assert accounts.receipt(BOB) == Receipt(BOB, 0.0, 0, 0, 0)


def test_the_peer_not_heard_of_for_longest_is_forgotten() -> None:
    accounts = Accounts()
    others = [ID(b"\x00\x02" + number.to_bytes(2, "big")) for number in range(MAX_ACCOUNTS - 1)]
    for peer in (ANN, BOB, ANN, *others):
        accounts.sent(peer, 1, 100, 0)
    assert accounts.receipt(ANN).sent == 200
    assert accounts.receipt(BOB).sent == 0


def boxo_scores(exchanges: list[bool], sent: int, recv: int) -> list[int]:
    """What boxo's worker computes at the end of each period of 10 s, written down differently."""
    short = long = 0.0
    recent = False
    scores = []
    for number, exchanged in enumerate(exchanges, 1):
        recent = recent or exchanged
        short += 0.5 * ((10 if exchanged else 0) - short)
        if number % 10 == 0:
            long += 0.05 * ((10 if recent else 0) - long)
            recent = False
        owed = recv / (recv + sent) if recv else 0
        scores.append(int((short + long) * (owed * 0.5 + 0.75)))
    return scores


@pytest.mark.parametrize("received", [True, False])
@pytest.mark.parametrize(
    "exchanges",
    [[True] * 30, [True] + [False] * 29, [False] * 3 + [True] + [False] * 20, [True, False] * 100],
    ids=["steady", "once", "late", "now and then"],
)
@pytest.mark.parametrize("looked_at", ["each time", "at the end"])
def test_the_score_is_boxos(exchanges: list[bool], received: bool, looked_at: str) -> None:
    accounts = Accounts()
    count = sum(exchanges)
    expected = boxo_scores(exchanges, 0 if received else count, count if received else 0)
    note = accounts.received if received else accounts.sent
    got = []
    for number, exchanged in enumerate(exchanges):
        if exchanged:
            note(ANN, 1, 1, number * 10 + 5)
        if looked_at == "each time":
            got.append(accounts.score(ANN, (number + 1) * 10))
    if looked_at == "each time":
        assert got == expected
    else:
        assert accounts.score(ANN, len(exchanges) * 10) == expected[-1]


def test_who_gives_more_than_he_takes_has_the_higher_score() -> None:
    accounts = Accounts()
    for number in range(20):
        accounts.received(ANN, 1, 1000, number * 10)
        accounts.sent(BOB, 1, 1000, number * 10)
    assert accounts.score(ANN, 200) > accounts.score(BOB, 200) > 0
    assert accounts.score(ID(b"\x00\x03cee"), 200) == 0


def test_blocks_without_bytes_are_exchanged_too() -> None:
    accounts = Accounts()
    accounts.sent(ANN, 1, 0, 0)
    assert accounts.receipt(ANN).exchanged == 1
    assert accounts.score(ANN, 10) == 3


def test_a_score_fades_when_nothing_is_exchanged() -> None:
    accounts = Accounts()
    accounts.received(ANN, 1, 1000, 0)
    assert accounts.score(ANN, 10) == 6
    assert accounts.score(ANN, 20) == 3
    assert accounts.score(ANN, 1_000_000) == 0
