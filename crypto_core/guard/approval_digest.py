"""What a request for approval consists of, digested part by part, so that whatever differs can be named.

A request's digest covers everything that its second person is shown: action, summary, plan, the plan's own
digest, the database whose tokens it is about and that of the journal, who asked, when, and until when. It is
part of the encryption context of each call under the approvals key.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from crypto_core.guard.approvals import Approval
from crypto_core.guard.signature import digest_of
from crypto_core.proof.forms import moment_text

PURPOSE = "approval request"

COUNTED_BY = "Counted by: "
"""Begins the line of a plan with the proof of its count, which is made anew with each plan."""

_ITS_OWN = frozenset({"number", "time of the request", "expiry", "plan"})
_REMARKS = frozenset({"warnings", "reasons", "gaps", "remarks", "losses"})
_TIME = re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?( ?(UTC|Z|[+-]\d\d:?\d\d))?")


def parts_of(request: Approval) -> dict[str, str]:
    """Return SHA-256, in hex, of each part of a request, by the part's name."""
    parts = {
        "number": str(request.id),
        "action": request.action,
        "summary": request.summary,
        "plan": json.dumps(request.plan, sort_keys=True),
        "plan's digest": request.digest,
        "database": request.database,
        "journal's database": request.database_id,
        "requester": request.requested_by,
        "time of the request": moment_text(request.requested_at),
        "expiry": moment_text(request.expires_at),
    }
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in parts.items()}


def request_digest(parts: Mapping[str, str]) -> str:
    """In hex, by the digests of its parts."""
    return digest_of(PURPOSE, *(text for part in sorted(parts.items()) for text in part)).hex()


def changed_parts(parts: Mapping[str, str], others: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, digest in parts.items() if others.get(name) != digest)


def differing_parts(asked: Approval, fresh: Approval) -> tuple[str, ...]:
    """Return the names of the parts in which a request differs from what is about to be done.

    Its number and its times are the request's own. A plan that is made again differs in the moments at which
    it was: in the proof that a count rests on, and in the times that warnings name. Everything else has to be
    the same.
    """
    one, other = (_without_moments(request.plan) for request in (asked, fresh))
    parts, present = parts_of(asked), parts_of(fresh)
    differing = set(changed_parts(parts, present)) - _ITS_OWN
    fields = [name for name in sorted({*one, *other}) if one.get(name) != other.get(name)]
    found = [name for name in parts if name in differing]
    return (*found, f"plan ({', '.join(fields)})") if fields else tuple(found)


def in_words(parts: Iterable[str]) -> str:
    *most, last = parts
    return f"{', '.join(most)} and {last}" if most else last


def _without_moments(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {
            key: _without_moments(part, name if name in _REMARKS else key)
            for key, part in value.items()
            if (name, key) != ("tokens", "proof")
        }
    if isinstance(value, list | tuple):
        parts = [part for part in value if not (isinstance(part, str) and part.startswith(COUNTED_BY))]
        return [_without_moments(part, name) for part in parts]
    return _TIME.sub("", value) if name in _REMARKS and isinstance(value, str) else value
