"""What is known of copies: no register, or none that can be read, is never a zero."""

from __future__ import annotations

from crypto_core.keys.dependent_copies import NeedingCopies, NoRegister
from crypto_core.values.clean_text import clean

WHY = "The register is not installed."


def test_no_register_is_never_a_zero() -> None:
    for known in (NeedingCopies(), NeedingCopies(unknown="it is gone"), NoRegister(WHY).needing("a key")):
        assert all("not known" in line for line in known.lines)
    assert next(NeedingCopies(3).lines).startswith("None of the registered copies (3)")
    assert clean(next(NeedingCopies(3).lines)).endswith("nothing is known.")


def test_where_the_register_is_left_out_every_answer_says_so() -> None:
    needing, scanned = NoRegister(WHY).needing("a key"), NoRegister(WHY).scanned("weekly")
    assert needing.as_json()["registered"] is None
    for lines in (needing.lines, scanned.needs, scanned.compare({"v1": 3})):
        (line,) = lines
        assert WHY in line
    assert scanned.unusable == ()
