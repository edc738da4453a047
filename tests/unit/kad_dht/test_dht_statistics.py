"""Counts by kind of message."""

from __future__ import annotations

from libp2p.kad_dht.messages import Message, MessageType
from libp2p.kad_dht.statistics import Counters, KindStatistics


def test_counts() -> None:
    counters = Counters()
    counters.count_sent(MessageType.PING)
    counters.count_sent(MessageType.PING, 4)
    counters.count_answer(Message(MessageType.PING))
    counters.count_failure(MessageType.PING)
    counters.count_served(MessageType.FIND_NODE)
    counters.count_refused(MessageType.PUT_VALUE)
    counters.count_lookup(failed=False)
    counters.count_lookup(failed=True)
    kinds = counters.kinds()
    assert kinds["PING"] == KindStatistics(sent=5, answered=1, failed=1, served=0, refused=0)
    assert kinds["FIND_NODE"].served == kinds["PUT_VALUE"].refused == 1
    assert (counters.lookups_done, counters.lookups_failed) == (1, 1)
