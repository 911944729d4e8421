"""Errors: a class says once what the operator can do and whether the same may succeed later."""

from __future__ import annotations

from crypto_core.values.errors import KeydeckError, KmsError


class BusyError(KmsError, transient=True, remedy="Wait."):
    """A class that says both."""


class BusierError(BusyError):
    """A class that says neither."""


class AloneError(KeydeckError):
    """A class without a remedy."""


def test_a_class_gives_its_errors_the_remedy_that_they_come_without() -> None:
    assert str(BusyError("KMS is busy.")) == "KMS is busy. Wait."
    assert BusyError("KMS is busy.", remedy="Come back.").remedy == "Come back."
    assert AloneError("Nothing helps.").remedy == ""


def test_a_class_has_what_its_parent_says() -> None:
    assert BusierError("KMS is busy.").remedy == "Wait."
    assert BusierError.transient
    assert not KmsError.transient


def test_a_message_and_a_remedy_are_cleaned_whole() -> None:
    error = AloneError("There is no \x1b[31mkey\u202e.", remedy="Look\nagain.")
    assert str(error) == "There is no [31mkey. Look again."
