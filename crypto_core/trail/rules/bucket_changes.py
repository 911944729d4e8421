"""Changes of the bucket that a trail delivers to: files that are deleted, expire, stay away, or lie open.

Amazon S3 API reference and User Guide, "Amazon S3 CloudTrail events": a record has the request's document as
JSON. Each change is judged by what it leaves behind, so that putting a setting right is no alarm.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from crypto_core.findings.finding import Severity
from crypto_core.findings.standards import CLOUD_LOGS, DESTRUCTION, LIFECYCLE_DELETION
from crypto_core.keys.policy.conditions import narrowings
from crypto_core.keys.policy.document import Statement, parse_policy
from crypto_core.keys.principals import like
from crypto_core.lists.filter_language import Term
from crypto_core.trail import bucket_calls as s3
from crypto_core.trail.event import CLOUDTRAIL, S3, TrailEvent
from crypto_core.trail.rules.change_findings import Judgement, change_rule
from crypto_core.trail.rules.rule_context import RuleContext, listed, request, text
from crypto_core.trail.store.history import has
from crypto_core.values.errors import PolicyError
from crypto_core.values.key_names import account_of

SHORT_DAYS = 90
"""So long CloudTrail's own event history has what is gone from the bucket."""
YEAR = 365

_BLOCK = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
"""What blocks public access, each off where a request doesn't name it."""
_EVERYBODY = "groups/global/"


def _of_trails(context: RuleContext) -> Sequence[Term]:
    return (has("param.bucketname", *context.trail_buckets),)


def _subject(event: TrailEvent) -> str:
    return s3.bucket_arn(s3.bucket_of(event), event.region)


_bucket_rule = partial(
    change_rule,
    source=S3,
    subject=_subject,
    about_keys=False,
    terms=_of_trails,
    falsepositives=("A planned change of the bucket",),
    no_sigma="which buckets the trails deliver to, no setting names",
)


@_bucket_rule(
    "event-trail-bucket-deleted",
    "Bucket of a trail deleted",
    Severity.CRITICAL,
    techniques=(CLOUD_LOGS, DESTRUCTION),
    names=s3.GONE,
    undo="CreateBucket",
    remedy="Create it again, with the policy that lets CloudTrail write: until then nothing is delivered. "
    "CloudTrail's event history has 90 days: keydeck events pull.",
)
def deleted(_: RuleContext, event: TrailEvent) -> Judgement:
    return Severity.CRITICAL, f"deleted bucket {s3.bucket_of(event)} of a trail", ""


@_bucket_rule(
    "event-trail-bucket-expiry",
    "Files of a trail set to expire",
    Severity.CRITICAL,
    techniques=(CLOUD_LOGS, LIFECYCLE_DELETION),
    names=s3.LIFECYCLE,
    undo=dict.fromkeys(s3.LIFECYCLE, (*s3.LIFECYCLE, *s3.NO_LIFECYCLE)),
    about=f"critical in less than {SHORT_DAYS} days, medium in less than a year",
    remedy="Put the lifecycle before back: aws s3api put-bucket-lifecycle-configuration; copy the files that "
    "are still there first.",
)
def expiring(_: RuleContext, event: TrailEvent) -> Judgement | None:
    """None where the files stay for a year at least. A date is held to be soon."""
    name = s3.bucket_of(event)
    given = request(event).get("LifecycleConfiguration")
    if not isinstance(given, Mapping):
        return Severity.HIGH, f"changed when files expire in bucket {name} of a trail", "not recorded how"
    ends = [*_expirations(given)]
    days = min((days for days, _ in ends), default=YEAR)
    if days >= YEAR:
        return None
    said = listed([f"{text(days)} days{f' below {prefix}' if prefix else ''}" for days, prefix in ends])
    return (
        Severity.CRITICAL if days < SHORT_DAYS else Severity.MEDIUM,
        f"made files in bucket {name} of a trail expire",
        f"after {said}",
    )


def _expirations(lifecycle: Mapping[str, Any]) -> Iterator[tuple[int, str]]:
    """After how many days objects are deleted, and below which prefix, by each rule that is on."""
    for rule in _objects(lifecycle.get("Rule", lifecycle.get("Rules"))):
        ends = rule.get("Expiration")
        if rule.get("Status") == "Disabled" or not isinstance(ends, Mapping):
            continue
        where = rule.get("Filter")
        prefix = text(rule.get("Prefix") or (where.get("Prefix") if isinstance(where, Mapping) else ""), 80)
        days = text(ends.get("Days"), 9)
        if "Date" in ends or days:
            yield int(days) if days.isdecimal() else 0, prefix


@_bucket_rule(
    "event-trail-bucket-policy",
    "Policy of a trail's bucket changed",
    Severity.CRITICAL,
    techniques=(CLOUD_LOGS,),
    names=(*s3.POLICY, *s3.NO_POLICY),
    undo=dict.fromkeys((*s3.POLICY, *s3.NO_POLICY), s3.POLICY),
    about="critical where CloudTrail may not write any more, high where others are let in",
    remedy="Put the policy before back: CloudTrail User Guide, 'Amazon S3 bucket policy for CloudTrail'. "
    "CloudTrail's event history has what is not delivered meanwhile: keydeck events pull.",
)
def policy(context: RuleContext, event: TrailEvent) -> Judgement:
    """What the new policy lets through; low where CloudTrail may write and nobody else is let in."""
    name = s3.bucket_of(event)
    if event.name in s3.NO_POLICY:
        return (
            Severity.CRITICAL,
            f"deleted the policy of bucket {name} of a trail",
            "CloudTrail can't deliver",
        )
    did = f"changed the policy of bucket {name} of a trail"
    given = request(event).get("bucketPolicy")
    if given is None:
        return Severity.HIGH, did, "the record does not have the policy"
    try:
        statements = parse_policy(given if isinstance(given, str) else json.dumps(given)).statements
    except PolicyError as error:
        return Severity.HIGH, did, f"the new policy can't be read: {error.message}"
    if not _lets_write(statements):
        return (
            Severity.CRITICAL,
            f"shut CloudTrail out of bucket {name} of a trail",
            "CloudTrail can't deliver",
        )
    others = _others(statements, context.keys.accounts | {event.account})
    if others:
        return Severity.HIGH, f"opened bucket {name} of a trail to others", f"lets in {listed(others)}"
    return Severity.LOW, did, "CloudTrail may write; nobody of another account is let in"


def _lets_write(statements: Sequence[Statement]) -> bool:
    """Whether CloudTrail may put files there; of denials those count that are about everything."""

    def about(statement: Statement) -> bool:
        named = any(p.value in ("*", CLOUDTRAIL) for p in statement.principals)
        writes = any(like(action.lower(), "s3:putobject") for action in statement.actions)
        return named is not statement.all_principals_but and writes is not statement.all_actions_but

    return any(s.allows and about(s) for s in statements) and not any(
        about(s) and not s.allows and not s.conditions for s in statements
    )


def _others(statements: Sequence[Statement], own: frozenset[str] | set[str]) -> list[str]:
    found: dict[str, None] = {}
    for statement in statements:
        bound = {account for one in narrowings(statement) for account in one.accounts}
        for principal in statement.principals if statement.allows else ():
            if principal.is_everyone or statement.all_principals_but:
                if not narrowings(statement):
                    found["everybody"] = None
                elif bound - own:
                    found |= dict.fromkeys(f"account {account}" for account in sorted(bound - own))
            elif principal.account and principal.account not in own:
                found[f"account {principal.account}"] = None
    return list(found)


@_bucket_rule(
    "event-trail-bucket-opened",
    "Bucket of a trail open to others by its settings",
    Severity.HIGH,
    techniques=(CLOUD_LOGS,),
    names=(*s3.BLOCK, *s3.NO_BLOCK, *s3.ACCESS_LIST, *s3.OWNERSHIP, *s3.NO_OWNERSHIP),
    undo=dict.fromkeys((*s3.BLOCK, *s3.NO_BLOCK), s3.BLOCK)
    | dict.fromkeys(s3.ACCESS_LIST, s3.ACCESS_LIST)
    | dict.fromkeys((*s3.OWNERSHIP, *s3.NO_OWNERSHIP), s3.OWNERSHIP),
    about="its access list, the block of public access, and whether access lists count",
    remedy="Block public access, and let access lists count for nothing: aws s3api put-public-access-block, "
    "aws s3api put-bucket-ownership-controls with BucketOwnerEnforced.",
)
def opened(_: RuleContext, event: TrailEvent) -> Judgement | None:
    """None where nothing is let in."""
    name, given = s3.bucket_of(event), request(event)
    if event.name in (*s3.BLOCK, *s3.NO_BLOCK):
        block = _of(given.get("PublicAccessBlockConfiguration"))
        off = [part for part in _BLOCK if block.get(part) not in (True, "true")]
        if event.name in s3.BLOCK and not off:
            return None
        return (
            Severity.MEDIUM,
            f"took the block of public access off bucket {name} of a trail",
            f"without {listed(off)}",
        )
    if event.name in s3.ACCESS_LIST:
        if _EVERYBODY not in json.dumps(given) and "public-" not in text(_first(given.get("x-amz-acl"))):
            return None
        return Severity.HIGH, f"opened bucket {name} of a trail to everybody by its access list", ""
    rules = _objects(_of(given.get("OwnershipControls")).get("Rule"))
    if rules and all(r.get("ObjectOwnership") == "BucketOwnerEnforced" for r in rules):
        return None
    return Severity.LOW, f"let access lists count in bucket {name} of a trail", ""


@_bucket_rule(
    "event-trail-bucket-unprotected",
    "Protection of a trail's files taken away",
    Severity.CRITICAL,
    techniques=(CLOUD_LOGS,),
    names=(
        *(*s3.VERSIONING, *s3.LOCK, *s3.ENCRYPTION, *s3.NO_ENCRYPTION),
        *(*s3.REPLICATION, *s3.NO_REPLICATION),
    ),
    undo=dict.fromkeys(s3.VERSIONING, s3.VERSIONING)
    | dict.fromkeys(s3.LOCK, s3.LOCK)
    | dict.fromkeys((*s3.ENCRYPTION, *s3.NO_ENCRYPTION), s3.ENCRYPTION)
    | dict.fromkeys(s3.REPLICATION, s3.NO_REPLICATION),
    about="versions, object lock, encryption (critical under a key of another account), replication",
    remedy="Compare with how the bucket should be, and set it so again: aws s3api put-bucket-versioning, "
    "put-object-lock-configuration, put-bucket-encryption, put-bucket-replication.",
)
def unprotected(context: RuleContext, event: TrailEvent) -> Judgement | None:
    """None where the protection is put in place, or nothing leaves the account."""
    judge = next(judge for names, judge in _PROTECTIONS if event.name in names)
    judged = judge(context, event)
    if judged is None:
        return None
    severity, did, seen = judged
    return severity, f"{did} bucket {s3.bucket_of(event)} of a trail", seen


def _versioning(_: RuleContext, event: TrailEvent) -> Judgement | None:
    given = _of(request(event).get("VersioningConfiguration"))
    if given.get("Status") == "Enabled" and given.get("MfaDelete") != "Disabled":
        return None
    if given.get("Status") == "Enabled":
        return Severity.LOW, "let versions be deleted without MFA in", ""
    if given.get("Status") == "Suspended":
        return Severity.HIGH, "suspended versions in", "what is deleted or overwritten is gone"
    return Severity.HIGH, "changed whether versions are kept in", "not recorded how"


def _lock(_: RuleContext, event: TrailEvent) -> Judgement | None:
    given = _of(request(event).get("ObjectLockConfiguration"))
    kept = _of(_of(given.get("Rule")).get("DefaultRetention"))
    days = text(kept.get("Days"), 9)
    if text(kept.get("Years"), 9) or (days.isdecimal() and int(days) >= SHORT_DAYS):
        return None
    return Severity.HIGH, "shortened the object lock of", f"{days} days" if days else "no default retention"


def _encryption(context: RuleContext, event: TrailEvent) -> Judgement | None:
    if event.name in s3.NO_ENCRYPTION:
        return Severity.MEDIUM, "took the default encryption off", "S3 encrypts with keys of its own"
    rules = _objects(_of(request(event).get("ServerSideEncryptionConfiguration")).get("Rule"))
    keys = [text(_of(r.get("ApplyServerSideEncryptionByDefault")).get("KMSMasterKeyID"), 300) for r in rules]
    own = context.keys.accounts | {event.account}
    foreign = sorted({account for key in keys if (account := account_of(key)) and account not in own})
    if not foreign:
        return None
    said = f"a key of account {listed(foreign)}: it alone decides who can read new files"
    return Severity.CRITICAL, "set a foreign key for", said


def _replication(context: RuleContext, event: TrailEvent) -> Judgement | None:
    if event.name in s3.NO_REPLICATION:
        return Severity.MEDIUM, "stopped the copies of", ""
    given = _of(request(event).get("ReplicationConfiguration"))
    to = [_of(r.get("Destination")) for r in _objects(given.get("Rule", given.get("Rules")))]
    own = context.keys.accounts | {event.account}
    foreign = sorted(
        {account for one in to if (account := text(one.get("Account"), 12)) and account not in own}
    )
    places = listed(dict.fromkeys(text(one.get("Bucket"), 80) for one in to))
    if foreign:
        return (
            Severity.HIGH,
            "copies to another account all files of",
            f"{places} of account {listed(foreign)}",
        )
    return Severity.MEDIUM, "copies elsewhere all files of", places


_PROTECTIONS = (
    (s3.VERSIONING, _versioning),
    (s3.LOCK, _lock),
    ((*s3.ENCRYPTION, *s3.NO_ENCRYPTION), _encryption),
    ((*s3.REPLICATION, *s3.NO_REPLICATION), _replication),
)


@_bucket_rule(
    "event-trail-files-deleted",
    "Files of a trail deleted",
    Severity.CRITICAL,
    techniques=(CLOUD_LOGS, DESTRUCTION),
    names=s3.DELETIONS,
    about="where a trail records data events; critical for versions, which nothing brings back",
    remedy="Where the bucket has versions, take the delete markers away. Else fetch what is missing: "
    "keydeck events pull; keydeck events pull --from s3 --validate shows which files are gone.",
)
def files_deleted(_: RuleContext, event: TrailEvent) -> Judgement:
    given = request(event)
    for_good = "versionId" in given or event.name == "DeleteObjectVersion"
    severity = Severity.CRITICAL if for_good or event.name == "DeleteObjects" else Severity.HIGH
    return severity, f"deleted files in bucket {s3.bucket_of(event)} of a trail", text(given.get("key"), 200)


def _of(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _objects(value: object) -> list[Mapping[str, Any]]:
    """The objects of a request's list, which is no list where it has but one."""
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, Mapping)]


def _first(value: object) -> object:
    return value[0] if isinstance(value, list) and value else value
