"""Catalogues of controls from TOML (toml.io, version 1.0.0). What is not known here is refused.

id = "house"                     # small letters, digits and hyphens: the catalogue's own
version = 1
framework = "house"              # what --framework names
title = "House rules"            # the standard
edition = "2026"

[[control]]
id = "house-1"                   # small letters, digits, dots, hyphens; differs from every other
number = "1"                     # the standard's own
title = "Tokens are encrypted"   # in your words
question = "Is every token that is stored encrypted?"
tests = ["tokens-encrypted"]     # keydeck help compliance has all; without any: outside = "why"
as_far_as = "API tokens in PostgreSQL"
limit = "Nothing is said of backups."
owner = "Platform security"

[owners]
"pci-3.7.4" = "Platform security"

[[exception]]
control = "pci-3.7.4"
reason = "The key store can't rotate; a new key is made each January."
by = "CISO"
since = 2026-02-01               # may be left out: then it holds for all days before
until = 2027-01-31
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from crypto_core.compliance.control import ControlCatalogue, Exemption, Framework, FrameworkControl
from crypto_core.compliance.control_tests import ALL_TESTS
from crypto_core.lists.toml_fields import Fields
from crypto_core.values.clean_text import NO_TEXT, CleanText, clean
from crypto_core.values.errors import ControlError
from crypto_core.values.typed_names import meant

CONTROL_LIMIT = 200
_TESTS, _EXCEPTIONS, _OWNERS = 12, 200, 400
_ID = re.compile(r"[a-z][a-z0-9-]{0,39}")
_CONTROL_ID = re.compile(r"[a-z][a-z0-9.-]{0,59}")


class _ControlFields(Fields):
    error = ControlError


def read_catalogue(text: str, source: str = "built in") -> ControlCatalogue:
    """Return the catalogue of a text; `source` is its file. Raises ControlError: file, control, field."""
    where = clean(source or "The catalogue", 300)
    top = _ControlFields.of_text(text, where)
    catalogue_id = top.matched("id", _ID, "small letters, digits and hyphens, at most 40, a letter first")
    version = top.version()
    tables = top.values("control", CONTROL_LIMIT)
    framework = _framework(top, needed=bool(tables))
    controls: dict[str, FrameworkControl] = {}
    for number, table in enumerate(tables, 1):
        control = _control(table, f"{where}: control {number}", where, framework)
        if control.id in controls:
            raise ControlError(f"{where}: control {control.id}: id is another control's already.")
        controls[control.id] = control
    owners = _owners(top, where)
    exemptions = tuple(
        _exemption(table, f"{where}: exception {number}")
        for number, table in enumerate(top.values("exception", _EXCEPTIONS), 1)
    )
    top.none_left()
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
    every = tuple(controls.values())
    return ControlCatalogue(catalogue_id, version, where, digest, every, owners, exemptions)


def _framework(top: Fields, *, needed: bool) -> Framework:
    if not needed:
        return Framework(NO_TEXT, NO_TEXT, NO_TEXT)
    framework = top.matched("framework", _ID, "small letters, digits and hyphens, such as soc2")
    return Framework(framework, top.text("title", 120, required=True), top.text("edition", 60, required=True))


def _control(table: object, place: str, where: str, framework: Framework) -> FrameworkControl:
    fields = _ControlFields(table, place)
    control_id = fields.matched(
        "id", _CONTROL_ID, "small letters, digits, dots and hyphens, at most 60, a letter first"
    )
    fields.where = f"{where}: control {control_id}"
    control = FrameworkControl(
        id=control_id,
        framework=framework,
        number=fields.text("number", 60, required=True),
        title=fields.text("title", 120, required=True),
        question=fields.text("question", 300, required=True),
        tests=fields.texts("tests", 60, _TESTS),
        as_far_as=fields.text("as_far_as", 200),
        limit=fields.text("limit", 400),
        outside=fields.text("outside", 400),
        owner=fields.text("owner", 120),
    )
    fields.none_left()
    _fit_together(fields, control)
    return control


def _fit_together(fields: Fields, control: FrameworkControl) -> None:
    for name in control.tests:
        if name not in ALL_TESTS:
            fields.refuse(
                "tests", f"has {clean(name, 60)!r}, which is no test. {meant(name, ALL_TESTS)}".rstrip()
            )
    if len(set(control.tests)) < len(control.tests):
        fields.refuse("tests", "names something twice")
    if control.tests and control.outside:
        fields.refuse("outside", "can't stand beside tests")
    if not control.tests and not control.outside:
        fields.refuse("tests", "is missing; a control that no test answers says why in outside")
    if control.tests and not control.limit:
        fields.refuse("limit", "is missing: it says what the tests don't see")


def _owners(top: Fields, where: str) -> dict[str, CleanText]:
    value = top.take("owners")
    if value is None:
        return {}
    if not isinstance(value, Mapping) or len(value) > _OWNERS:
        top.refuse("owners", f"is not a table of at most {_OWNERS} controls and their owners")
    fields = _ControlFields(value, f"{where}: owners")
    return {clean(name, 60): fields.text(str(name), 120, required=True) for name in value}


def _exemption(table: object, place: str) -> Exemption:
    fields = _ControlFields(table, place)
    control = fields.matched("control", _CONTROL_ID, "the id of a control, such as pci-3.7.4")
    since = fields.take("since")
    found = Exemption(
        control,
        fields.text("reason", 300, required=True),
        fields.text("by", 120, required=True),
        _day(fields, "until", fields.take("until")),
        None if since is None else _day(fields, "since", since),
    )
    fields.none_left()
    if found.since is not None and found.since > found.until:
        fields.refuse("since", "is after until")
    return found


def _day(fields: Fields, name: str, value: Any) -> date:
    if value is None:
        fields.refuse(name, "is missing: every exception ends")
    if isinstance(value, datetime) or not isinstance(value, date):
        fields.refuse(name, "is not a date such as 2027-01-31, without quotes")
    return value
