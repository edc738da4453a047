"""What the suites ``transport`` and ``perf`` tell a program, and the host that they ask for."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from interop.redis import connected
from libp2p import NoiseTransport, TLSTransport, create_new_ed25519_key_pair, new_host
from libp2p.base_types import TProtocol
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE
from libp2p.security.tls.transport import PROTOCOL_ID as TLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from interop.redis import Redis
    from libp2p import BasicHost
    from libp2p.peer.peerinfo import PeerInfo

TRANSPORTS: Final = ("tcp",)
SECURE_CHANNELS: Final = ("noise", "tls")
MUXERS: Final = ("yamux",)

#: The names of the variables in test-plans, the suite before this one.
LEGACY_NAMES: Final = {
    "IS_DIALER": "is_dialer",
    "REDIS_ADDR": "redis_addr",
    "TRANSPORT": "transport",
    "SECURE_CHANNEL": "security",
    "MUXER": "muxer",
    "LISTENER_IP": "ip",
    "TEST_TIMEOUT_SECS": "test_timeout_seconds",
}
#: Where test-plans' listener puts its address.
LEGACY_KEY: Final = "listenerAddr"


class ContractError(Exception):
    """The environment asks for what is not there; the text names the variable."""


@dataclass(frozen=True)
class Settings:
    """One program's part in one test."""

    is_dialer: bool
    legacy: bool
    """Whether test-plans' contract is followed instead of unified-testing's."""
    redis_addr: str
    address_key: str
    """The redis key of the listener's address."""
    transport: str
    secure_channel: str
    muxer: str
    listener_ip: str
    timeout: float
    """Seconds that a dialer waits for the listener's address."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """
        Read the variables of either contract.

        :raises ContractError: if one is missing, or asks for what this library does not have.
        """
        legacy = "IS_DIALER" not in environment and "is_dialer" in environment

        def value(name: str, default: str = "", known: tuple[str, ...] = ()) -> str:
            name = LEGACY_NAMES[name] if legacy and name in LEGACY_NAMES else name
            found = environment.get(name) or default
            if not found:
                raise ContractError(f"{name} is not set")
            if known and found not in known:
                raise ContractError(f"{name}={found}: this program knows {', '.join(known)}")
            return found

        timeout = value("TEST_TIMEOUT_SECS", "180")
        if not timeout.isdecimal():
            raise ContractError(f"TEST_TIMEOUT_SECS={timeout} is no number of seconds")
        return cls(
            is_dialer=value("IS_DIALER", known=("true", "false")) == "true",
            legacy=legacy,
            redis_addr=value("REDIS_ADDR", "redis:6379" if legacy else ""),
            address_key=LEGACY_KEY if legacy else f"{value('TEST_KEY')}_listener_multiaddr",
            transport=value("TRANSPORT", known=TRANSPORTS),
            secure_channel=value("SECURE_CHANNEL", known=SECURE_CHANNELS),
            muxer=value("MUXER", known=MUXERS),
            listener_ip=value("LISTENER_IP", "0.0.0.0"),
            timeout=float(timeout),
        )

    def new_host(self) -> BasicHost:
        """Return a host with the one secure channel that is asked for."""
        key_pair = create_new_ed25519_key_pair()
        if self.secure_channel == "noise":
            return new_host(key_pair=key_pair, sec_opt={TProtocol(NOISE): NoiseTransport(key_pair)})
        return new_host(key_pair=key_pair, sec_opt={TProtocol(TLS): TLSTransport(key_pair)})


@dataclass(frozen=True)
class App:
    """What a suite's program does besides meeting the other one."""

    serve: Callable[[BasicHost], Awaitable[object]]
    """Prepare a listener's host."""
    publish: Callable[[Redis, str, str], Awaitable[None]]
    """Put the listener's address under a key."""
    measure: Callable[[Settings, BasicHost, PeerInfo], Awaitable[str]]
    """Connect a dialer's host, measure; return the report."""

    def run(self) -> None:
        """Play the part that the environment names; end the process with 1 if that fails."""
        if os.environ.get("DEBUG") == "true":
            logging.basicConfig(level=logging.DEBUG)  # to standard error: the report has the other
        try:
            settings = Settings.read(os.environ)
        except ContractError as error:
            sys.exit(str(error))
        trio.run(self._dial if settings.is_dialer else self._listen, settings)

    async def _listen(self, settings: Settings) -> None:
        host = settings.new_host()
        listen = Multiaddr(f"/ip4/{settings.listener_ip}/tcp/0")
        async with connected(settings.redis_addr) as redis, host.run(listen_addrs=[listen]):
            await self.serve(host)
            address = _address_for_dialers([str(each) for each in host.get_addrs()], redis.local_ip)
            await self.publish(redis, settings.address_key, address)
            await trio.sleep_forever()

    async def _dial(self, settings: Settings) -> None:
        host = settings.new_host()
        async with connected(settings.redis_addr) as redis, host.run(listen_addrs=[]):
            with trio.fail_after(settings.timeout):
                address = await redis.wait_for(settings.address_key)
            report = await self.measure(settings, host, info_from_p2p_addr(Multiaddr(address)))
        print(report, flush=True)


def _address_for_dialers(addresses: list[str], local_ip: str) -> str:
    """Return the address on the network of the redis server, which the dialer reaches too."""
    near = [each for each in addresses if each.startswith(f"/ip4/{local_ip}/")]
    return (near or addresses)[0]
