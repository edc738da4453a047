"""
Who decides which records are good: one validator per namespace of keys (sans-I/O).

https://github.com/libp2p/specs/blob/master/kad-dht/README.md#entry-validation. A record that is not
validated lets anybody overwrite anybody's: what no validator is responsible for is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Protocol, runtime_checkable

from libp2p.exceptions import ErrBetterRecord, InvalidArgument, InvalidRecordType
from libp2p.hostile_input import refused_as
from libp2p.records.utils import key_to_bytes, key_to_text, split_key
from libp2p.utils.arguments import having, instance

__all__ = [
    "BlankValidator",
    "ErrBetterRecord",
    "InvalidRecordType",
    "NamespacedValidator",
    "Validator",
]


@runtime_checkable
class Validator(Protocol):
    """
    The rules of one namespace; classes may inherit from this one, and need not.

    Keys are text. A key with bytes that are not UTF-8 comes with lone surrogates in their places:
    `libp2p.records.utils.key_to_bytes` returns the bytes that travel.
    """

    def validate(self, key: str, value: bytes) -> None:
        """
        Return if a record may be stored under a key.

        :raises Exception: of any kind if it may not; its text says why.
        """

    def select(self, key: str, values: list[bytes]) -> int:
        """
        Return the index of the best of several records of a key.

        The same records must give the same best one everywhere, in whatever order they come.
        """


class BlankValidator(Validator):
    """Accepts every record, and takes the first of several as the best."""

    def validate(self, key: str, value: bytes) -> None:
        """Accept it."""

    def select(self, key: str, values: list[bytes]) -> int:
        return 0


class NamespacedValidator:
    """
    Asks the validator of a key's namespace; takes keys as text and as bytes.

    :param validators: by namespace, such as ``{"ipns": IPNSValidator()}``.
    :param strict_validation: refuse keys that no validator is responsible for. py-libp2p accepts
        them unless told otherwise.
    :param fallback_validator: decides about these keys if they are not refused; it accepts all
        unless one is given.
    """

    def __init__(
        self,
        validators: Mapping[str, Validator] | None = None,
        strict_validation: bool = True,
        fallback_validator: Validator | None = None,
    ) -> None:
        self._validators: dict[str, Validator] = {}
        for namespace, validator in (validators or {}).items():
            self.add_validator(namespace, validator)
        self.strict_validation = strict_validation
        self._fallback = BlankValidator() if fallback_validator is None else fallback_validator

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that have a validator, sorted."""
        return sorted(self._validators)

    def set_strict(self, strict: bool) -> None:
        """Refuse keys that no validator is responsible for, or refuse them no more."""
        self.strict_validation = strict

    def add_validator(self, namespace: str, validator: Validator) -> None:
        """
        Let a validator decide about the keys of a namespace; it replaces an earlier one.

        :raises InvalidArgument: if the name cannot be a namespace.
        """
        instance(namespace, str, "namespace")
        if not namespace or "/" in namespace:
            raise InvalidArgument(
                f"a namespace is a name without slashes, such as ipns, not {namespace!r:.100}"
            )
        having(validator, ("validate", "select"), "validator", "an object with validate and select")
        self._validators[namespace] = validator

    def validator_by_key(self, key: str | bytes) -> Validator | None:
        """Return who decides about a key; None if the key is refused for want of somebody."""
        unknown = None if self.strict_validation else self._fallback
        try:
            namespace, _ = split_key(key_to_bytes(key))
        except InvalidRecordType:
            return unknown
        return self._validators.get(namespace, unknown)

    def validate(self, key: str | bytes, value: bytes) -> None:
        """
        Return if a record may be stored under a key.

        :raises InvalidRecordType: if it may not.
        """
        validator = self._required(key)
        with refused_as(InvalidRecordType, "the validator refuses the record"):
            validator.validate(key_to_text(key), value)

    def select(self, key: str | bytes, values: Sequence[bytes]) -> int:
        """
        Return the index of the best of several records of a key.

        :raises InvalidRecordType: if the validator cannot say.
        :raises InvalidArgument: if there is no record.
        """
        if not values:
            raise InvalidArgument("values is empty: there is no best record")
        validator = self._required(key)
        with refused_as(InvalidRecordType, "the validator cannot compare the records"):
            best = index(validator.select(key_to_text(key), list(values)))
        if not 0 <= best < len(values):
            raise InvalidRecordType(
                f"the validator selected record {best} of {len(values)}, there is none"
            )
        return best

    def _required(self, key: str | bytes) -> Validator:
        validator = self.validator_by_key(key)
        if validator is None:
            known = ", ".join(f"/{name}/" for name in self.namespaces) or "none"
            raise InvalidRecordType(
                f"strict validation: No validator registered for the key "
                f"{key_to_bytes(key)[:80]!r}; namespaces: {known}"
            )
        return validator
