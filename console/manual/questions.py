"""Sixty questions that operators ask of CloudTrail, each with the one line that answers it.

A test runs every line over a store whose answers are known.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the arguments of `keydeck events` that answer it; "" where no single line does."""

    asked: str
    line: str = ""
    instead: str = ""


KEY = "1234abcd-12ab-34cd-56ef-1234567890ab"
"""Stands for a key's id, as AWS's documentation has it; `key:` also takes an ARN or an alias."""


def _list(asked: str, expression: str, options: str = "") -> Question:
    return Question(asked, f"list{options} --filter '{expression}'")


def _stats(asked: str, by: str, expression: str = "", more: str = "") -> Question:
    return Question(asked, f"stats --by {by}{more}" + (f" --filter '{expression}'" if expression else ""))


TOPICS: dict[str, tuple[Question, ...]] = {
    "Tokens": (
        _list("Who opened the token of row gh-42?", "name:Decrypt,ReEncrypt token:gh-42 -failed"),
        _stats("Which tokens did a principal open?", "token", "principal:user/intruder token:* -failed"),
        _stats("How many different tokens did each open?", "principal", "name:Decrypt", " --distinct token"),
        _stats(
            "Who opened more than 3 different tokens in one hour?",
            *("principal,day,hour", "-failed", " --distinct token --having 'distinct>3'"),
        ),
        _list("Which tokens of one table were opened?", "name:Decrypt context.keydeck:table:jira_connection"),
        _list("Which openings name no token (v1)?", "name:Decrypt -failed -context.keydeck:id:*"),
        _stats("Who seals new tokens?", "principal", "name:GenerateDataKey,Encrypt,ReEncrypt -failed"),
        Question(
            "Which column's tokens are opened most?",
            instead="events are not counted by parts of the context: stats --by token, and add up",
        ),
        Question(
            "Which of the opened tokens have not been reissued since?",
            instead="keydeck events principal NAME, then keydeck inspect: the database knows that",
        ),
    ),
    "Refused": (
        _list("Which calls were denied?", "denied"),
        _stats("Who is denied most, and with which error?", "principal,error", "denied"),
        _list("Which calls failed, throttling aside?", "failed -error:Throttling*"),
        _stats("What do the messages say?", "message", "denied"),
        _list("Who lacks the right to Decrypt?", "message:/not authorized to perform: kms:decrypt/"),
        _stats("Who was denied three times or more?", "principal", "", " --having 'denied>=3'"),
        _stats("Who tries many operations and is denied?", "principal", "denied", " --distinct name"),
        _list("What was denied that nobody has reviewed?", "denied -reviewed"),
        Question(
            "Who was denied first and got through later?",
            instead="an order of events is no filter: stats --by principal,error has first and last of each",
        ),
    ),
    "People": (
        _list("What did people open, rather than roles?", "human name:Decrypt,ReEncrypt"),
        _list("What did root do?", "root"),
        _list("What was done with credentials of the console?", "console"),
        _list("Which changes did people make without MFA?", "human -mfa:yes name:/^(put|schedule|disable)/"),
        _list("What did people do at night?", "human hour:22..06"),
        _list("What did people do on weekends?", "human weekday:sat,sun"),
        _list("And outside office hours or on weekends?", "human (hour:19..07 OR weekday:sat,sun)"),
        _stats("At which hours does somebody work?", "hour", "principal:user/ana"),
        _list("What did one role do in the last day?", "principal:role/batch", " --since 24h"),
        Question(
            "Who was seen for the first time this week?",
            instead="keydeck findings: event-decrypt-new-principal compares with what came before",
        ),
    ),
    "Keys": (
        _list("Who changed a key policy?", "name:PutKeyPolicy -failed"),
        _list("Which policies let everybody in?", r'name:PutKeyPolicy param.policy:/"aws"\s*:\s*"\*"/'),
        _list("Who bypassed the lockout check?", "param.bypassPolicyLockoutSafetyCheck:true"),
        _list(
            "Which grants went to other accounts?",
            "name:CreateGrant param.grantee:* -param.grantee:*:111122223333:*",
        ),
        _list("Which grants allow Decrypt?", "name:CreateGrant param.operations:Decrypt"),
        _list("Which keys are to be deleted?", "name:ScheduleKeyDeletion -failed"),
        _list("Which of them within a week?", "name:ScheduleKeyDeletion param.pendingWindowInDays:7"),
        _list("Who disabled a key, or enabled one again?", "name:DisableKey,EnableKey,CancelKeyDeletion"),
        _list("Who moved, made or deleted an alias?", "name:/alias$/ -name:ListAliases"),
        _list("Is a retired key used?", f"key:{KEY} name:Decrypt,ReEncrypt -failed"),
        _list("Is old key material used?", "material:96083e4f* name:Decrypt"),
        _stats("Who uses a key?", "principal", f"key:{KEY}"),
        _stats("When was each key first and last used?", "key", "key:* -failed"),
        _list(
            "Who re-encrypted to a key of another account?",
            "name:ReEncrypt -param.destinationKeyId:*:111122223333:*",
        ),
        _list("Who replicated a key or imported material?", "name:ReplicateKey,ImportKeyMaterial"),
    ),
    "Where from": (
        _list("What came from outside our networks?", "-ip:10.0.0.0/8,192.168.0.0/16 name:Decrypt"),
        _list("What came from one address?", "ip:198.51.100.7"),
        _stats("From which addresses does a role work?", "ip", "principal:role/platform"),
        _stats(
            "Which access keys work from more than one address?",
            *("access_key", "access_key:*", " --distinct ip --having 'distinct>1'"),
        ),
        _list(
            "What did a role do past our VPC endpoint?", "principal:role/platform -vpce:vpce-1 name:Decrypt"
        ),
        _list("Who speaks TLS older than 1.2?", r"tls:/v1(\.[01])?$/"),
        _list("What was done by hand, with a command line?", "agent:/^(aws-cli|curl|python-requests)/"),
        _list("When did a role use another library than usual?", "principal:role/platform -agent:boto3*"),
        _stats("Which sessions does a role have?", "session", "principal:role/platform"),
        _list("What did one session do?", "principal:role/platform session:api-2"),
        _list("What happened in Regions that we don't use?", "-region:eu-west-1"),
        _list("What did foreign accounts do?", "-account:111122223333"),
        Question(
            "Who worked from two distant places within minutes?",
            instead="addresses have no places here: stats --by principal,day,hour --distinct ip comes near",
        ),
    ),
    "The trail and the whole": (
        _list(
            "Who stopped or changed logging?",
            "source:cloudtrail name:StopLogging,DeleteTrail,UpdateTrail,PutEventSelectors",
        ),
        _list("What do AWS services do in our name?", "invoked_by:*", " --all"),
        _stats("How many calls a day?", "day"),
        _stats("Who made more than four calls in one hour?", "principal,day,hour", "", " --having 'count>4'"),
    ),
}
"""By topic."""

QUESTIONS = tuple(question for questions in TOPICS.values() for question in questions)


def markdown() -> str:
    """Return each question with its line, by topic."""
    lines: list[str] = []
    for topic, questions in TOPICS.items():
        lines += [f"## {topic}", ""]
        for one in questions:
            lines += [f"**{one.asked}**", ""]
            answer = ["```sh", f"keydeck events {one.line}", "```"] if one.line else [_sentence(one.instead)]
            lines += [*answer, ""]
    return "\n".join(lines)


def _sentence(instead: str) -> str:
    return f"In no single line: {instead}."
