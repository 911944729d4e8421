"""What a field of events declares holds everywhere: in readers, filters and documents."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_core.lists.filter_language import passes
from crypto_core.trail.event import TrailEvent
from crypto_core.trail.event_fields import EVENT_FIELDS
from crypto_core.trail.query import parse, values
from crypto_core.trail.sources.engine_rows import LABELS, record_of
from crypto_core.values.json_records import json_members
from tests.crypto_core.trail.records import NOW, event, read, user


@pytest.mark.parametrize("place", [one.recorded for one in EVENT_FIELDS.values() if one.recorded])
def test_a_text_is_read_from_its_place_and_found_by_the_name_that_records_give_it(place: str) -> None:
    outer, _, inner = place.partition(".")
    text = f"of-{place}"
    who: Any = {"who": user(**{inner: text})} if outer == "userIdentity" else {}
    one = event(**who or {outer: {inner: text} if inner else text})
    for name in (place, place.rpartition(".")[2]):
        clauses = parse(f'{name}:"{text}"', NOW)
        assert passes(clauses, lambda field: values(one, field, {}))
        assert not passes(clauses, lambda field: values(event(), field, {}))
    assert text in one.as_json().values()
    assert text in read(record_of({"eventname": "Decrypt", LABELS[place.lower()]: text})).as_json().values()


def test_documents_have_every_field_of_events() -> None:
    keys = {member.key for member in json_members(TrailEvent)}
    made = {"name": "name", "message": "error_message", "key": "key_arns"}
    made |= {"material": "key_material_ids", "token": "token_ref"}
    missing = {name for name, one in EVENT_FIELDS.items() if made.get(name, one.said or name) not in keys}
    assert missing == set()
