"""The five stories."""

from __future__ import annotations

from console.game_day.scenario import Act, End, Move, Past, Persona, Scenario

_KALI = "aws-cli/1.22.34 Python/3.10.12 Linux/6.5.0-kali3-amd64 botocore/1.27.84"
_OFFICE = "203.0.113.24"
_PULL = "4: CloudTrail's events; P fetches them, d shows what the rules found in them"
_DECLARE = "5: incidents; declare one, and its runbook leads on: the clock runs until you do"

_ALWAYS = (End.PLATFORM_WORKS, End.NOTHING_DELETED)

_BUILD_BOT = Persona("build-bot", "AKIAKEYDECKGAME00001", "user", "198.51.100.77", _KALI, database=True)
_METRICS = Persona("metrics-exporter", "AKIAKEYDECKGAME00002", "user", "198.51.100.78", _KALI, database=True)

_KEY_COMPROMISE = Scenario(
    id="key-compromise",
    title="The KMS key is compromised",
    runbook="key-compromise",
    briefing=(
        (
            "A colleague has seen a strange address in CloudTrail. A build server's access key may be in "
            "the wrong hands, and a copy of the connections' database with it."
        ),
        (
            "The key in question is alias/tokens. Find out who it is, shut them out, and leave nothing "
            "under that key: it must be disabled when you are done. Look for every way in, not only for "
            "the first."
        ),
    ),
    first=(
        _PULL,
        _DECLARE,
        "3: the keys; Enter on alias/tokens shows its policy and grants",
        "2: the tokens under it",
    ),
    personas=(_BUILD_BOT, _METRICS),
    moves=(
        Move(0, Act.LOOK, "build-bot"),
        Move(10, Act.READ, "build-bot"),
        Move(15, Act.OPEN, "build-bot", times=220, every=0.4),
        Move(120, Act.SEAL, "build-bot", times=3, every=1),
        Move(130, Act.GRANT, "build-bot", to="metrics-exporter"),
    ),
    aim=(Act.OPEN,),
    again=20,
    ends=(End.SHUT_OUT, End.NOTHING_UNDER_KEY, End.KEY_DISABLED, End.TOKENS_OPEN, *_ALWAYS),
    findings=("event-decrypt-new-principal", "event-bulk-decrypt", "event-key-grant"),
    detect_seconds=600,
    answers=("yes", "keep disabled"),
)

_SUPPORT = Persona(
    "support-tool",
    "AKIAKEYDECKGAME00003",
    "user",
    "192.0.2.201",
    "python-requests/2.31.0",
    database=True,
)

_TOKEN_LEAK = Scenario(
    id="token-leak",
    title="Tokens of one organisation have leaked",
    runbook="token-compromise",
    briefing=(
        (
            "A customer has seen API calls with their tokens from an address that is not yours. A person "
            "with the support tool's access key has opened them."
        ),
        (
            "Find out which tokens it opened, take its access away, and have those tokens revoked and "
            "replaced. While it still has access, a new token is no better than the old one."
        ),
    ),
    first=(
        _PULL,
        _DECLARE,
        "2: the connections; / filters them by organisation",
        "3: the keys, their policies and grants",
    ),
    personas=(_SUPPORT,),
    moves=(
        Move(0, Act.LOOK, "support-tool"),
        Move(8, Act.READ, "support-tool"),
        Move(12, Act.OPEN, "support-tool", times=12, every=1.5),
        Move(40, Act.USE, "support-tool", times=4, every=2),
    ),
    aim=(Act.USE, Act.OPEN),
    again=20,
    ends=(End.SHUT_OUT, End.TOKENS_DEAD, End.TOKENS_REPLACED, *_ALWAYS),
    findings=("event-decrypt-new-principal", "event-decrypt-human"),
    detect_seconds=900,
    opens_column="gh_connection.access_token",
    answers=("the key stays",),
    keeps_tokens=True,
)

_ENGINEER = "AWSReservedSSO_DataEngineer_1f2e3d4c5b6a7980"
_LAPTOP = "aws-cli/2.27.41 md/awscrt#0.26.1 ua/2.1 os/macos#24.5.0 lang/python#3.13.4 md/prompt#off"
_INSIDER = Persona(
    _ENGINEER,
    "ASIAKEYDECKGAME00004",
    "role",
    "198.51.100.140",
    _LAPTOP,
    session="ivo.engineer",
    database=True,
)
_REPORTS = Persona(
    "nightly-reports", "AKIAKEYDECKGAME00005", "user", "198.51.100.140", _LAPTOP, database=True
)

_INSIDER_GAME = Scenario(
    id="insider",
    title="An insider opens tokens at night",
    runbook="token-compromise",
    briefing=(
        (
            "Last night between two and three UTC far more tokens were opened than the platform can "
            "account for. The identity is a colleague's own, with every right to be there by day."
        ),
        (
            "Find out who it is and which tokens were opened. Take all of their access away, and re-encrypt "
            "those tokens or have them replaced: rewrap would leave the insider their data "
            "keys."
        ),
    ),
    first=(
        _PULL,
        _DECLARE,
        "4, then T on one of its events: what the principal opened and could have opened",
        "3: policies and grants",
    ),
    personas=(_INSIDER, _REPORTS),
    moves=(
        Move(0, Act.READ, _ENGINEER),
        Move(5, Act.OPEN, _ENGINEER, times=30, every=1),
        Move(50, Act.GRANT, _ENGINEER, to="nightly-reports"),
    ),
    aim=(Act.OPEN,),
    again=30,
    ends=(End.SHUT_OUT, End.TOKENS_SEALED_ANEW, *_ALWAYS),
    findings=("event-bulk-decrypt", "event-decrypt-new-network", "event-key-grant"),
    detect_seconds=900,
    keeps_tokens=True,
    answers=("the key stays",),
    past=(
        *(Past(_ENGINEER, "Decrypt", days, 10, 20, 2, 95, _OFFICE) for days in (3, 4, 5, 6)),
        Past(_ENGINEER, "Decrypt", 0, 2, 20, 240, 7.5),
    ),
)

_DEPLOY_BOT = Persona("deploy-robot", "AKIAKEYDECKGAME00006", "user", "198.51.100.9", _KALI)

_RANSOM = Scenario(
    id="ransom-disable",
    title="The key is held to ransom",
    runbook="key-lost",
    briefing=(
        (
            "The platform has stopped: no token opens any more, and an e-mail demands money for the key. An "
            "attacker has disabled alias/tokens and scheduled its deletion."
        ),
        (
            "Cancel the deletion, enable the key, and make sure that the tokens open. The attacker can do "
            "it again for as long as the key's policy allows it."
        ),
    ),
    first=("3: the keys and their states", _DECLARE, _PULL, "1: how many tokens are under the key"),
    personas=(_DEPLOY_BOT,),
    moves=(
        Move(0, Act.LOOK, "deploy-robot"),
        Move(6, Act.LET_IN, "deploy-robot"),
        Move(10, Act.BLIND, "deploy-robot"),
        Move(14, Act.DISABLE, "deploy-robot"),
        Move(18, Act.DELETE, "deploy-robot"),
    ),
    aim=(Act.DISABLE, Act.DELETE),
    again=45,
    ends=(End.SHUT_OUT, End.KEY_USABLE, End.TOKENS_OPEN, *_ALWAYS),
    findings=(
        "event-key-disabled",
        "event-key-deletion",
        "event-key-ransom",
        "event-key-policy",
        "event-trail-stopped",
    ),
    detect_seconds=300,
    answers=("disabled or waiting for deletion", "no replica"),
)

_STOLEN_SESSION = Persona(
    "keydeck-platform",
    "ASIAKEYDECKGAME00007",
    "role",
    "198.51.100.66",
    _KALI,
    session="i-0123456789abcdef0",
    database=True,
)

_INSIDE_ROLE = Scenario(
    id="inside-role",
    title="The platform's own credentials are stolen",
    runbook="key-compromise",
    briefing=(
        (
            "An instance of the platform answered a forged request with the credentials of its own role. "
            "Somebody outside uses them now: in CloudTrail both look the same, but for where they come from."
        ),
        (
            "The key in question is alias/tokens. Shut out whoever stole the role, keep the platform working "
            "with it, and leave nothing under that key: it must be disabled when you are done."
        ),
    ),
    first=(
        _PULL,
        _DECLARE,
        "4, then T on one of its events: what the principal opened and could have opened",
        "3: the keys; Enter on alias/tokens shows its policy and grants",
    ),
    personas=(_STOLEN_SESSION,),
    moves=(
        Move(0, Act.LOOK, "keydeck-platform"),
        Move(10, Act.READ, "keydeck-platform"),
        Move(15, Act.OPEN, "keydeck-platform", times=60, every=0.4),
    ),
    aim=(Act.OPEN,),
    again=20,
    ends=(End.SHUT_OUT, End.NOTHING_UNDER_KEY, End.KEY_DISABLED, End.TOKENS_OPEN, *_ALWAYS),
    findings=("event-decrypt-new-network", "event-decrypt-new-agent"),
    detect_seconds=600,
    answers=("yes", "keep disabled"),
    past=(
        *(Past("", "GenerateDataKey", days, 9, 5, 3, 60) for days in range(1, 10)),
        *(Past("", "Decrypt", days, 9, 10, 6, 60) for days in range(1, 10)),
    ),
)

SCENARIOS: dict[str, Scenario] = {
    one.id: one for one in (_KEY_COMPROMISE, _TOKEN_LEAK, _INSIDER_GAME, _RANSOM, _INSIDE_ROLE)
}
