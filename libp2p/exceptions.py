"""
Every error of the stack that crosses a layer.

An error says what its catcher can do. `LocalProtocolError`: you misused the library.
`RemoteProtocolError`: the peer broke a protocol; it carries the code to tell the peer.
``…Closed``: closed by this side. ``…Reset``: aborted by the peer. ``…EOF``: the clean end.
One exception object travels from the core to the user untranslated, so the names that py-libp2p
keeps per layer are related by inheritance here and re-exported at py-libp2p's paths.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Self, TypeVar

_E = TypeVar("_E", bound=BaseException)


def first_few(texts: Iterable[str], limit: int = 5, separator: str = ", ") -> str:
    """Join the first ``limit`` texts and count the rest: an error is read by people."""
    source = iter(texts)
    text = separator.join(islice(source, limit))
    rest = sum(1 for _ in source)
    return f"{text} and {rest} more" if rest else text


class BaseLibp2pError(Exception):
    """
    Root of all errors that this library raises on purpose.

    All errors survive ``copy`` and ``pickle`` with their attributes, text and cause. A cause that
    cannot be pickled is replaced by a plain `Exception` with its kind and text.
    """

    def __reduce__(self) -> tuple[object, ...]:
        # Exception's own would call the constructor with ``args``, which is only the message.
        return _made_again, (type(self), self.args, _Cause(self.__cause__)), vars(self).copy()


class _Cause:
    """The cause of an error that is copied or pickled; a copy keeps the object itself."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error

    def __reduce__(self) -> tuple[object, ...]:
        import pickle  # it costs every command 3 ms, and few programs use it

        if self.error is None:
            return _Cause, (None,)
        try:
            pickled = pickle.dumps(self.error)
            pickle.loads(pickled)
        except Exception:  # noqa: BLE001 - task's edge: anybody's exception
            pickled = pickle.dumps(Exception(f"{type(self.error).__name__}: {self.error}"))
        return _unpickled_cause, (pickled,)


def _unpickled_cause(pickled: bytes) -> _Cause:
    import pickle

    return _Cause(pickle.loads(pickled))


def _made_again(kind: type[_E], args: tuple[object, ...], cause: _Cause) -> _E:
    error = kind.__new__(kind, *args)
    error.args = args
    if cause.error is not None:
        error.__cause__ = cause.error
    return error


class ValidationError(BaseLibp2pError):
    """A value is well-formed but not acceptable."""


class BridgeClosedError(BaseLibp2pError):
    """What a call of asyncio or of plain Python goes to has ended: trio's thread, or a loop."""

    def __init__(self, message: str = "trio's thread has ended") -> None:
        super().__init__(message)


class InvalidArgument(ValidationError, ValueError):
    """An argument has an impossible value; the text says what was expected."""


class WrongArgumentType(ValidationError, TypeError):
    """An argument has the wrong type; the text names the right one."""


class ParseError(BaseLibp2pError):
    """Bytes or text do not have the form that they must have."""


class IncompleteVarint(ParseError):
    """The data ends inside a varint: more bytes are needed."""


class MultiError(BaseLibp2pError):
    """Several errors of one operation, in ``errors``."""

    def __init__(self, errors: Sequence[Exception]) -> None:
        numbered = (f"Error {n}: {error}" for n, error in enumerate(errors, start=1))
        super().__init__(first_few(numbered, separator="\n"))
        self.errors = list(errors)


# -- who is to blame ------------------------------------------------------------------------------


class ProtocolError(BaseLibp2pError):
    """A protocol's rules were broken; never raised itself."""


class LocalProtocolError(ProtocolError):
    """This side asked for something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The peer broke the rules; ``code`` is the GoAway or reset code to send it."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


# -- bytes ----------------------------------------------------------------------------------------


class IOException(BaseLibp2pError):
    """Reading or writing failed."""


class ConnectionClosedError(IOException):
    """The connection under this object is gone."""

    def __init__(
        self,
        message: str,
        close_code: int | None = None,
        close_reason: str = "",
        transport: str = "",
    ) -> None:
        super().__init__(message)
        self.close_code = close_code
        self.close_reason = close_reason
        self.transport = transport


class IncompleteReadError(IOException):
    """The source ended before the requested number of bytes."""

    def __init__(self, message: str, expected_bytes: int = 0, received_bytes: int = 0) -> None:
        super().__init__(message)
        self.expected_bytes = expected_bytes
        self.received_bytes = received_bytes

    @property
    def is_clean_close(self) -> bool:
        """True if the source ended exactly at a message's boundary."""
        return self.received_bytes == 0


class MsgioException(IOException):
    """A length-prefixed message is malformed."""


class MissingLengthException(MsgioException):
    """The length prefix is missing or malformed."""


class MissingMessageException(MsgioException):
    """The stream ended inside a message."""


class DecryptionFailedException(MsgioException):
    """A record's authentication tag does not match: the connection cannot go on."""


class MessageTooLarge(MsgioException):
    """A message announces more bytes than its protocol allows."""


class RawConnError(IOException):
    """The transport's connection failed."""


class RawConnectionLost(RawConnError, ConnectionClosedError):
    """The system says that a transport's connection is gone."""


# -- streams --------------------------------------------------------------------------------------


class StreamError(IOException):
    """A stream cannot do what was asked."""


class StreamEOF(StreamError, EOFError):
    """The peer closed its writing side; everything it sent has been read."""


class StreamReset(StreamError):
    """
    The stream was aborted.

    ``error_code`` is the code that came with the reset (0 = none was given), ``remote`` tells
    whether the peer did it.
    """

    def __init__(self, message: str = "stream reset", error_code: int = 0, remote: bool = True):
        super().__init__(message)
        self.error_code = error_code
        self.remote = remote


class StreamClosed(StreamError):
    """This side has closed the stream, or that half of it."""


class StreamTimeout(StreamError, TimeoutError):
    """A stream's deadline passed; the stream remains usable."""


class MuxedConnError(BaseLibp2pError):
    """A multiplexed connection failed."""


class MuxedConnUnavailable(MuxedConnError):
    """The connection is closed; ``code`` is the GoAway code if one was seen."""

    def __init__(self, message: str = "connection is closed", code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


class MuxedStreamError(StreamError):
    """A multiplexed stream failed."""


class MuxedStreamEOF(MuxedStreamError, StreamEOF):
    """See `StreamEOF`."""


class MuxedStreamReset(MuxedStreamError, StreamReset):
    """See `StreamReset`."""


class MuxedStreamClosed(MuxedStreamError, StreamClosed):
    """See `StreamClosed`."""


class MuxedStreamTimeout(MuxedStreamError, StreamTimeout):
    """See `StreamTimeout`."""


# -- connections ----------------------------------------------------------------------------------


class OpenConnectionError(BaseLibp2pError):
    """A transport could not connect or listen."""


class UpgradeFailure(BaseLibp2pError):
    """A raw connection could not be secured or multiplexed."""


class SecurityUpgradeFailure(UpgradeFailure):
    """No secure channel with the right peer could be agreed on."""


class MuxerUpgradeFailure(UpgradeFailure):
    """No stream multiplexer could be agreed on."""


class SecurityError(BaseLibp2pError):
    """A secure channel failed."""


class HandshakeFailure(SecurityError):
    """The cryptographic handshake failed."""


class InvalidSignature(HandshakeFailure):
    """The peer's identity signature does not verify."""


class PeerIDMismatchesPubkey(HandshakeFailure):
    """The peer proved another identity than the one that was dialled."""


class CryptographyError(BaseLibp2pError):
    """A key cannot be used or read."""


class MalformedKey(CryptographyError, ValueError):
    """A key cannot be read."""


class NoSignatures(CryptographyError, NotImplementedError):
    """Keys of this type do not sign."""


class MissingDeserializerError(CryptographyError):
    """The key's type is not known."""


class MultiselectCommunicatorError(BaseLibp2pError):
    """The channel under a negotiation failed."""


class MultiselectError(BaseLibp2pError):
    """A negotiation failed on the listening side."""


class MultiselectClientError(BaseLibp2pError):
    """A negotiation failed on the proposing side."""


class ProtocolNotSupportedError(MultiselectClientError):
    """The peer supports none of the proposed protocols."""


class NegotiationError(MultiselectError, MultiselectClientError, RemoteProtocolError):
    """The peer broke multistream-select; caught under py-libp2p's name of either side."""

    def __init__(self, message: str, code: int = 0x1001) -> None:
        # libp2p's code for "stream protocol negotiation failed".
        super().__init__(message, code)


class SwarmException(BaseLibp2pError):
    """The network of connections cannot do what was asked."""


class DialError(SwarmException):
    """One address could not be dialled; ``address`` and the cause say which and why."""

    def __init__(self, address: object, reason: str) -> None:
        super().__init__(f"{address}: {reason}")
        self.address = address
        self.reason = reason


class SwarmDialAllFailedError(SwarmException):
    """
    No address of a peer could be dialled; ``errors`` has a `DialError` for each.

    ``num_addrs_tried`` are those of them that there is a transport for.
    """

    def __init__(
        self,
        message: str,
        peer_id: object = None,
        num_addrs_tried: int = 0,
        errors: Sequence[DialError] = (),
    ) -> None:
        super().__init__(message)
        self.peer_id = peer_id
        self.num_addrs_tried = num_addrs_tried
        self.errors = list(errors)

    @classmethod
    def of(
        cls, peer_id: object, errors: Sequence[DialError], unfit: Sequence[DialError] = ()
    ) -> Self:
        """Return the error for a peer; its text names the first few failures."""
        reasons = [first_few(map(str, kind), separator="; ") for kind in (errors, unfit) if kind]
        text = "; ".join(reasons) or "no address is known"
        return cls(f"cannot connect to {peer_id}: {text}", peer_id, len(errors), [*errors, *unfit])


class HostException(BaseLibp2pError):
    """A host cannot do what was asked."""


class ConnectionFailure(HostException):
    """No connection to the peer could be made."""


class StreamFailure(HostException):
    """No stream with any of the wanted protocols could be opened."""


# -- files ----------------------------------------------------------------------------------------


class NotARegularFile(BaseLibp2pError):
    """A link, a folder, a pipe or a device is where a file must be; ``path`` says where."""

    def __init__(self, path: object) -> None:
        super().__init__(f"{path} is not a regular file")
        self.path: Any = path


# -- content --------------------------------------------------------------------------------------


class BlockStoreError(BaseLibp2pError):
    """A block store could not do what was asked; the cause is the `OSError` that stopped it."""


class DatastoreError(BaseLibp2pError):
    """A datastore is closed, or could not do what was asked; the cause says what stopped it."""


# -- content addressing ---------------------------------------------------------------------------


class InvalidMultibase(ParseError, ValueError):
    """Text is not what its base allows."""


class InvalidMultihash(ParseError, ValueError):
    """Bytes are not one multihash, all of it and nothing else."""


class InvalidCID(ParseError, ValueError):
    """A value is not one CID, all of it and nothing else."""


class HashNotSupported(ValidationError, ValueError):
    """A hash function is unknown, not available here, or too weak for content addressing."""


class BlockHashMismatch(ValidationError, ValueError):
    """A block's bytes are not those that its CID names."""


class InvalidDagPb(ParseError, ValueError):
    """A block is not one well-formed dag-pb node."""


class InvalidDagCbor(ParseError, ValueError):
    """A block is not DAG-CBOR in its one canonical form, or a value has no such form."""


class InvalidDagJson(ParseError, ValueError):
    """A block is not DAG-JSON, or a value has no form in it."""


class InvalidCbor(ParseError, ValueError):
    """A block is not CBOR as blocks are written in it, or a value has no such form."""


class InvalidJson(ParseError, ValueError):
    """A block is not JSON, or a value has no form in it."""


class UnknownCodec(ValidationError, ValueError):
    """A block's codec is not one that can be read here."""


class InvalidCar(ParseError, ValueError):
    """Bytes are not a CAR file: content-addressed archive, versions 1 and 2."""


class InvalidUnixFS(ParseError, ValueError):
    """A node's data is not UnixFS, or its sizes contradict the blocks under it."""


class NotAFile(ValidationError, ValueError):
    """The content is a directory, a symlink or no UnixFS at all; ``kind`` says which."""

    def __init__(self, message: str, kind: str = "other") -> None:
        super().__init__(message)
        self.kind = kind


class NotADirectory(ValidationError, ValueError):
    """The content is a file, a symlink or anything else that has no entries."""


class NameNotInDirectory(ValidationError, LookupError):
    """A directory, a map or a list has no entry of that name."""


class InvalidFilesPath(ValidationError, ValueError):
    """A path of the mutable tree is none, or cannot be used for this."""


class PathExists(ValidationError, FileExistsError):
    """Something is at a path of the mutable tree that must be free."""


class InvalidImportOptions(ValidationError, ValueError):
    """The options of an import contradict each other or are out of range."""


# -- peers ----------------------------------------------------------------------------------------


class InvalidPeerID(ParseError, ValueError):
    """Bytes or text are not a peer id."""


class InvalidAddrError(ParseError, ValueError):
    """Not a multiaddr, or not one that names a peer where it must."""


class InvalidRecord(ValidationError, ValueError):
    """A signed envelope or peer record is malformed, or its signature does not verify."""


class InvalidRecordType(InvalidRecord):
    """
    A record of the DHT is refused: its validator refuses it, or its key has no known namespace.

    The name is py-libp2p's.
    """


class ErrBetterRecord(BaseLibp2pError):
    """A better record than the one that was to be stored is known; ``value`` is that one."""

    def __init__(self, key: str, value: bytes) -> None:
        super().__init__(f"a better value is known for {key!r:.100}")
        self.key = key
        self.value = value


class InvalidIpnsRecord(InvalidRecordType):
    """A record of IPNS is malformed, or not signed by the key of its name."""


class IpnsRecordExpired(InvalidIpnsRecord):
    """A record of IPNS is its owner's, and no longer valid."""


class InvalidName(ParseError, ValueError):
    """A value is no name of IPNS."""


class InvalidPath(ParseError, ValueError):
    """A text is no path of content, or one that leads out of it."""


class ResolutionError(BaseLibp2pError):
    """A name could not be resolved; the text says which name of a chain, and why."""


class NameNotFound(ResolutionError):
    """Nobody has a valid record of a name."""


class DNSLinkError(ResolutionError):
    """A domain has no DNSLink, or several."""


class PeerStoreError(BaseLibp2pError, KeyError):
    """The peer store does not have what was asked for."""

    __str__ = Exception.__str__  # KeyError would show the repr of the sentence


class PeerDataError(PeerStoreError):
    """A peer's entry does not have what was asked for."""


class DnsError(BaseLibp2pError):
    """A name could not be looked up, or stands for nothing; the text names it."""


class BootstrapError(BaseLibp2pError):
    """A file, a name or a URL gives no bootstrap peers; the text says why."""


class RoutingError(BaseLibp2pError):
    """A router could not be asked, or nobody took what it was to announce."""


class RoutersFailed(RoutingError):
    """None of several routers could be asked; ``by_router`` has the error of each, by its name."""

    def __init__(self, message: str, by_router: Mapping[str, Exception] | None = None) -> None:
        super().__init__(message)
        self.by_router = dict(by_router or {})


class RouterUnavailable(RoutingError):
    """A router does not answer now; ``retry_after`` is when to ask again, in seconds, if known."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RouterRefused(RoutingError):
    """A router will not answer this question; ``status`` is its HTTP status, 0 if it has none."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class BadRouterAnswer(RoutingError):
    """A router's answer is not what its protocol says, or longer than it may be."""


class ResourceManagerException(BaseLibp2pError):
    """A resource manager cannot do what it is asked."""


class ScopeClosedException(ResourceManagerException):
    """What should count something has been closed."""


class ResourceScopeClosed(ScopeClosedException):
    """The resource manager has been closed."""


class IdentifyError(RemoteProtocolError, ValueError):
    """The peer's identify message cannot be used."""


class PerfError(RemoteProtocolError, ValueError):
    """The peer sent back another number of bytes than it was asked for."""


class PingError(RemoteProtocolError, ValueError):
    """The peer answered a ping with other bytes than it was sent."""
