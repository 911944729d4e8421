"""Whether KMS's request id is CloudTrail's `requestID` in an account: proved once, by calls of Keydeck's own.

Receipts are joined to records by it. Two Decrypts of a data key that is made for this are looked for among
CloudTrail's records, which come some minutes later: then the next diagnosis finds them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

from crypto_core.aws.approval_calls import event_pages
from crypto_core.aws.kms import KmsApi
from crypto_core.diagnosis.check import Check, Clock, Topic, system_clock
from crypto_core.trail.store import EventStore
from crypto_core.trail.store.request_id_proof import RequestIdProof, note_proof, proof_of
from crypto_core.values.errors import EventStoreError, KmsError
from crypto_core.values.key_names import account_of, is_key_arn, region_of

NAME = "request ids"
PATIENCE = timedelta(hours=1)
"""CloudTrail delivers within 15 minutes on average; after so long, calls are made anew."""
_CALLS = 2
_PAGES = 20
_NEAR = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RequestIdPlace:
    """What to prove it with: a key that data keys may be made under, and the store that remembers it.

    `wanted` is False where nobody writes receipts; `kms` writes those of these calls, too.
    """

    kms: KmsApi
    key: str | None
    store: Path
    area: str
    wanted: bool
    read_only: bool


def look_at_request_ids(place: RequestIdPlace, stop: Event, clock: Clock = system_clock) -> Iterator[Check]:
    """Yield the check. Makes a data key and decrypts it twice, once for each account."""
    topic = Topic(place.area, NAME)
    if not place.wanted:
        yield topic.skipped("Nothing writes receipts, so no request id is joined to a record.")
    elif place.read_only:
        yield topic.skipped("Read only: no calls are made to compare their request ids.")
    elif not place.key:
        yield topic.skipped("No key is set to make a data key under.", "Set TOKEN_ENCRYPTION_KEY_ID.")
    else:
        store = EventStore(place.store, clock=clock)
        try:
            yield _compared(place, place.key, store, topic, clock(), stop)
        except (KmsError, EventStoreError) as error:
            yield topic.unknown_by(error)
        finally:
            store.close()


def _compared(
    place: RequestIdPlace, key: str, store: EventStore, topic: Topic, now: datetime, stop: Event
) -> Check:
    arn = key if is_key_arn(key) else str(place.kms.call("DescribeKey", KeyId=key)["KeyMetadata"]["Arn"])
    account, region = account_of(arn) or "", region_of(arn) or place.kms.regions[0]
    known = proof_of(store.file, account)
    if known is not None and known.confirmed_at is not None:
        return topic.ok(_confirmed(account, known.confirmed_at))
    if known is None or now - known.asked_at > PATIENCE:
        again = known is not None
        known = RequestIdProof(now, _made(place.kms, arn, region), None)
        note_proof(store.file, account, known)
    else:
        again = False
    if _are_recorded({*known.request_ids}, place.kms, region, known.asked_at, stop):
        known = replace(known, confirmed_at=now)
        note_proof(store.file, account, known)
        return topic.ok(_confirmed(account, now))
    said = f"Not confirmed in account {account}: CloudTrail's records of two Decrypts are not there yet."
    if again:
        said = f"Not confirmed in account {account}: of earlier calls no record was found; made anew."
        return topic.warning(
            said, "Is a trail or CloudTrail's event history on? Run keydeck doctor again later."
        )
    return topic.unknown(said, "Run keydeck doctor again in 15 minutes.")


def _confirmed(account: str, at: datetime) -> str:
    when = f"{at:%Y-%m-%d %H:%M} UTC"
    return f"KMS's request id is CloudTrail's requestID in account {account}: confirmed on {when}."


def _made(kms: KmsApi, arn: str, region: str) -> tuple[str, ...]:
    """Make a data key, decrypt it, and return the request ids of KMS's answers. No plaintext is kept."""
    wrapped = kms.call("GenerateDataKey", region=region, KeyId=arn, KeySpec="AES_256")["CiphertextBlob"]
    answers = (kms.call("Decrypt", region=region, KeyId=arn, CiphertextBlob=wrapped) for _ in range(_CALLS))
    return tuple(str((answer.get("ResponseMetadata") or {}).get("RequestId") or "") for answer in answers)


def _are_recorded(wanted: set[str], kms: KmsApi, region: str, at: datetime, stop: Event) -> bool:
    """Look page by page, until all are found. Raises KmsError, also for more pages than it reads."""
    pages = event_pages(
        kms, region, "Decrypt", at - _NEAR, EndTime=at + PATIENCE, most=_PAGES, rest=stop.wait
    )
    for page in pages:
        wanted = wanted - {_request_id(event.get("CloudTrailEvent")) for event in page.get("Events", ())}
        if not wanted:
            return True
    return False


def _request_id(record: object) -> str:
    try:
        document = json.loads(record) if isinstance(record, str) else None
    except ValueError:
        return ""
    told = document.get("requestID") if isinstance(document, dict) else None
    return told if isinstance(told, str) else ""
