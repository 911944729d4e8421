"""GitHub: its requests and what its answers say, of a token's life, its revocation and its abilities.

GitHub REST API, "Users", "Revocation" (/credentials/revoke), "OAuth authorizations", "Apps"
(/installation/token, /installation/repositories, /user/installations), "Scopes for OAuth apps"
(X-OAuth-Scopes), "Repositories", "Organizations", "Authenticating" (X-GitHub-SSO,
GitHub-Authentication-Token-Expiration), "Troubleshooting" (X-Accepted-GitHub-Permissions).
"""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from crypto_core.providers import messages
from crypto_core.providers.abilities import (
    Ability,
    AbilityDraft,
    AbilityQuestion,
    AbilityQuestions,
    Repositories,
    listed_in,
)
from crypto_core.providers.answers import Liveness
from crypto_core.providers.endpoints import GITHUB, Endpoints
from crypto_core.providers.registry import Provider
from crypto_core.values.clean_text import clean

REVOCATIONS_AN_HOUR = 60
"""Requests of /credentials/revoke that GitHub takes from one address."""

ACCEPT = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_JSON = {"Content-Type": "application/json"}
_CREDENTIALS = ("ghp_", "github_pat_", "gho_", "ghu_", "ghr_")


def _question(target: messages.Target, token: str) -> messages.Request:
    return messages.Request("GET", f"{target.base}/user", ACCEPT | messages.bearer(token))


def _read(_target: messages.Target, token: str, answer: messages.ProviderAnswer) -> messages.Said:
    said = answer.fields()
    if answer.status == 200 and isinstance(login := said.get("login"), str) and login:
        return messages.Said(Liveness.ALIVE, "GitHub takes it", clean(login, 100))
    # What a proxy between says is no word of GitHub's, which always gives a message.
    message = said.get("message")
    if not isinstance(message, str):
        return messages.unknown(messages.unexpected(answer))
    if answer.status == 401:
        return messages.Said(Liveness.DEAD, f"GitHub does not take it: {clean(message, 100)}")
    if answer.status == 403 and token.startswith("ghs_") and not rate_limited(answer):
        return messages.Said(Liveness.ALIVE, "GitHub takes it, as an installation's token", "an installation")
    return messages.unknown("asked too often" if rate_limited(answer) else messages.unexpected(answer))


def rate_limited(answer: messages.ProviderAnswer) -> bool:
    """Whether GitHub refused for having been asked too often; it says so with 403, too."""
    if answer.status == 429:
        return True
    spent = answer.headers.get("x-ratelimit-remaining") == "0" or "retry-after" in answer.headers
    told = "rate limit" in str(answer.fields().get("message", "")).lower()
    return answer.status == 403 and (spent or told)


def _revoke_leaked(base: str, tokens: Sequence[str], _endpoints: Endpoints) -> messages.Request:
    # With authentication GitHub would refuse it.
    content = json.dumps({"credentials": list(tokens)}).encode()
    return messages.Request("POST", f"{base}/credentials/revoke", ACCEPT | _JSON, content)


def _revoke_by_app(base: str, tokens: Sequence[str], endpoints: Endpoints) -> messages.Request:
    (token,) = tokens
    app = messages.basic(endpoints.github_client_id, endpoints.github_client_secret)
    content = json.dumps({"access_token": token}).encode()
    url = f"{base}/applications/{endpoints.github_client_id}/token"
    return messages.Request("DELETE", url, ACCEPT | _JSON | app, content)


def _revoke_itself(base: str, tokens: Sequence[str], _endpoints: Endpoints) -> messages.Request:
    return messages.Request("DELETE", f"{base}/installation/token", ACCEPT | messages.bearer(*tokens))


def _taken(answer: messages.ProviderAnswer, status: int = 204) -> messages.Accepted:
    """Whether GitHub took a revocation. That is no proof that a token is dead."""
    if answer.status == status:
        return messages.Accepted(True, "GitHub took the revocation")
    if rate_limited(answer):
        again = _again(answer)
        more = ", and no more now" if again is None else f", more from {again:%Y-%m-%d %H:%M} UTC"
        why = f"GitHub takes {REVOCATIONS_AN_HOUR} revocations an hour{more}"
        return messages.Accepted(False, why, spent=True)
    return messages.Accepted(False, messages.unexpected(answer))


def _taken_by_app(answer: messages.ProviderAnswer) -> messages.Accepted | None:
    if answer.status in (404, 422):
        return None  # the token is none of the app's
    if answer.status in (401, 403) and not rate_limited(answer):
        why = f"GitHub does not take the app's client id and secret: {messages.unexpected(answer)}"
        return messages.Accepted(False, why)
    return _taken(answer)


def _taken_by_itself(answer: messages.ProviderAnswer) -> messages.Accepted:
    if answer.status == 401:
        return messages.Accepted(False, "GitHub did not take it any more")
    return _taken(answer)


def _again(answer: messages.ProviderAnswer) -> datetime | None:
    """From when GitHub takes more: its header names the second."""
    told = answer.headers.get("x-ratelimit-reset", "")
    named = told.isascii() and told.isdigit() and len(told) <= 11
    return datetime.fromtimestamp(int(told), UTC) if named else None


def _warnings(requests: int, endpoints: Endpoints) -> Iterator[str]:
    yield "GitHub writes to the owner of each token that it revokes."
    if requests > REVOCATIONS_AN_HOUR:
        yield (
            f"GitHub takes {REVOCATIONS_AN_HOUR} requests an hour from one address and "
            f"{requests:,} are needed: what is left has to be revoked later."
        )
    if endpoints.of("github", GITHUB) != GITHUB:
        yield "A GitHub Enterprise Server may refuse unauthenticated revocations; the proof shows it."


def _warnings_by_app(_requests: int, _endpoints: Endpoints) -> Iterator[str]:
    yield (
        "Tokens that the configured OAuth app did not issue are revoked as leaked credentials: GitHub "
        "writes to their owners."
    )


LEAKED_CREDENTIALS = messages.RevocationMethod(
    "github-credentials",
    request=_revoke_leaked,
    accepted=lambda answer: _taken(answer, 202),
    batch=1_000,
    warnings=_warnings,
)
"""By /credentials/revoke, many at once, without authentication."""

BY_APP = messages.RevocationMethod(
    "github-app",
    request=_revoke_by_app,
    accepted=_taken_by_app,
    otherwise=LEAKED_CREDENTIALS,
    warnings=_warnings_by_app,
)

BY_ITSELF = messages.RevocationMethod(
    "github-installation", request=_revoke_itself, accepted=_taken_by_itself
)


def revocation(token: str, endpoints: Endpoints) -> messages.RevocationMethod | str:
    """Return how a token is revoked, in words where none of the requests revokes it."""
    if token.startswith("ghs_"):
        return BY_ITSELF
    if token.startswith("gho_") and endpoints.github_app:
        return BY_APP
    if token.startswith(_CREDENTIALS):
        return LEAKED_CREDENTIALS
    return (
        "GitHub has no request that revokes a token of this kind. Its owner revokes it in GitHub under "
        "Settings, Applications; an organisation's owner under its Settings, Third-party Access."
    )


def hashed_query(token: str) -> str:
    """Return the audit log query that finds what a token did.

    GitHub Docs, "Identifying audit log events performed by an access token".
    """
    digest = b64encode(hashlib.sha256(token.encode()).digest()).decode("ascii")
    return f'hashed_token:"{digest}"'


PAGES = 10
"""Pages of repositories that are read: 1,000 repositories."""
_A_PAGE = 100
_KINDS = {
    "ghp_": "personal access token (classic)",
    "github_pat_": "fine-grained personal access token",
    "gho_": "OAuth app token",
    "ghu_": "GitHub App user token",
    "ghs_": "GitHub App installation token",
}
_READ_ONLY = re.compile(r"read:.*|user:email|repo:status|repo:invite|security_events|notifications|")
"""Scopes that change no content. Any other, an unknown one too, counts as one that writes."""
_ADMIN = re.compile(r"(admin|manage_runners|site_admin|delete_repo)\b.*")
_OF_CODE = frozenset({"repo", "public_repo"})
"""Scopes that reach repositories alone: what they see of them, the list of repositories tells."""
_NO_SCOPE = "GitHub lists organisations to tokens with scope user or read:org alone"
_NO_LIST = "GitHub lists no organisations to tokens of this kind; those named own repositories that it sees"
_CHANGES = frozenset({"write", "admin"})


def _read_identity(draft: AbilityDraft, answer: messages.ProviderAnswer) -> None:
    draft.kind = next((kind for prefix, kind in _KINDS.items() if draft.token.startswith(prefix)), "token")
    scopes = answer.headers.get("x-oauth-scopes")
    if scopes is not None:
        draft.add_scopes(scopes)
    elif draft.token.startswith(("ghp_", "gho_")):
        draft.miss("GitHub's answer has no X-OAuth-Scopes header", Ability.SCOPES)
    _read_expiry(draft, answer)
    _note_allowed(draft, answer)


def _read_expiry(draft: AbilityDraft, answer: messages.ProviderAnswer) -> None:
    told = answer.headers.get("github-authentication-token-expiration", "")
    try:
        draft.expires = datetime.strptime(told.replace("UTC", "+0000"), "%Y-%m-%d %H:%M:%S %z")
        draft.lasts = f"{draft.expires.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
        return
    except (ValueError, OverflowError):
        pass
    if told:
        draft.miss("GitHub names an expiry that can't be read", Ability.EXPIRY)
    elif draft.token.startswith("ghs_"):
        draft.expires, draft.lasts = draft.at + timedelta(hours=1), "at most an hour after it was issued"
        draft.infer(Ability.EXPIRY)
    elif draft.token.startswith(("ghp_", "github_pat_", "gho_")):
        draft.lasts = "never"
        draft.infer(Ability.EXPIRY)
    else:
        draft.miss("GitHub does not say; 8 hours unless the app has expiry turned off", Ability.EXPIRY)


def _note_allowed(draft: AbilityDraft, answer: messages.ProviderAnswer) -> None:
    """Note the permission that a call took: of a call that was answered, the token has it.

    Where there are several sets of them, which one it has is not known.
    """
    taken = answer.headers.get("x-accepted-github-permissions", "")
    if answer.status == 200 and taken and ";" not in taken and draft.scopes is None:
        draft.add_permissions(part.strip() for part in taken.split(","))


def _read_repositories(draft: AbilityDraft, answer: messages.ProviderAnswer, listed: list[Any]) -> None:
    _note_allowed(draft, answer)
    partial = _not_signed_on(draft, answer)
    draft.more = _has_more(answer)
    draft.repositories = (draft.repositories or Repositories()) + _counted(draft, listed, whole=not partial)


def _has_more(answer: messages.ProviderAnswer) -> bool:
    return 'rel="next"' in answer.headers.get("link", "")


def _counted(draft: AbilityDraft, listed: list[Any], *, whole: bool) -> Repositories:
    seen: Counter[str] = Counter()
    odd = 0
    for one in listed:
        if not isinstance(one, dict) or not isinstance(one.get("private"), bool):
            odd += 1
            continue
        internal = one.get("visibility") == "internal"
        seen["internal" if internal else "private" if one["private"] else "public"] += 1
        role = one.get("permissions")
        role = role if isinstance(role, dict) else {}
        seen["writable"] += role.get("push") is True
        seen["administered"] += role.get("admin") is True
        owner = one.get("owner")
        if isinstance(owner, dict) and owner.get("type") == "Organization":
            draft.add_places([owner.get("login")])
    if odd:
        draft.miss(f"{odd:,} repositories are listed in a form that can't be read", Ability.REPOSITORIES)
    kinds = ("public", "private", "internal", "writable", "administered")
    return Repositories(*(seen[kind] for kind in kinds), whole=whole and not odd)


def _not_signed_on(draft: AbilityDraft, answer: messages.ProviderAnswer) -> bool:
    """Whether an answer leaves out organisations for which single sign-on is missing."""
    said = answer.headers.get("x-github-sso", "")
    if not said.startswith("partial-results"):
        return False
    _, _, numbers = said.partition("organizations=")
    names = clean(numbers, 100) or "some"
    draft.miss(
        f"single sign-on: left out are organisations that it is not authorised for: {names}",
        Ability.REPOSITORIES,
        Ability.PLACES,
    )
    draft.facts["sso"] = True
    return True


def _read_organisations(draft: AbilityDraft, answer: messages.ProviderAnswer, listed: list[Any]) -> None:
    partial = _not_signed_on(draft, answer)
    draft.add_places(one.get("login") for one in listed if isinstance(one, dict))
    draft.more = _has_more(answer)
    draft.places_whole = not (partial or draft.facts.get("sso"))


def _read_installations(draft: AbilityDraft, answer: messages.ProviderAnswer, listed: list[Any]) -> None:
    for one in filter(lambda item: isinstance(item, dict), listed):
        permissions, account = one.get("permissions"), one.get("account")
        if isinstance(account, dict):
            draft.add_places([account.get("login")])
        if isinstance(permissions, dict):
            draft.facts["levels"] = draft.facts.get("levels", ()) + tuple(permissions.items())
            draft.add_permissions(
                f"{clean(name, 80)}={clean(level, 20)}" for name, level in permissions.items()
            )
    draft.more = _has_more(answer)


def _refused(answer: messages.ProviderAnswer) -> str:
    if answer.headers.get("x-github-sso", "").startswith("required"):
        return "single sign-on: the token is not authorised for it"
    return "asked too often" if rate_limited(answer) else messages.unexpected(answer)


def _conclude(draft: AbilityDraft) -> None:
    """Draw what follows: what its account may do on GitHub, as far as its scopes or permissions let it."""
    found = draft.repositories
    if draft.scopes is not None:
        _by_scopes(draft, draft.scopes, found)
    else:
        _by_permissions(draft, found)
    if Ability.PLACES not in draft.not_known and not draft.places_whole:
        draft.miss(_NO_LIST if draft.scopes is None else _NO_SCOPE, Ability.PLACES)


def _by_scopes(draft: AbilityDraft, scopes: Iterable[str], found: Repositories | None) -> None:
    administers = [one for one in scopes if _ADMIN.fullmatch(one)]
    writing = [one for one in scopes if not _READ_ONLY.fullmatch(one)]
    whole = found is not None and found.whole
    to_code = _OF_CODE.intersection(scopes)
    if found is not None and found.closed:
        draft.reads_private = True
    elif "repo" in scopes and not whole:
        draft.miss("its repositories are not all known", Ability.READS_PRIVATE)
    else:
        draft.reads_private = not _OF_CODE.issuperset(scopes)
        draft.infer(Ability.READS_PRIVATE)
    # Scope repo with no repository to push to changes gists at most; to say so all would have to be known.
    only_code = bool(to_code) and len(writing) == len(to_code)
    draft.writes = bool(writing) and not (only_code and whole and found is not None and not found.writable)
    draft.infer(Ability.WRITES)
    if administers:
        draft.admin = True
    elif to_code and found is not None and found.administered:
        draft.admin = True
        draft.infer(Ability.ADMIN)
    elif to_code and not whole:
        draft.miss("its repositories are not all known", Ability.ADMIN)
    else:
        draft.admin = False
        draft.infer(Ability.ADMIN)


def _by_permissions(draft: AbilityDraft, found: Repositories | None) -> None:
    levels: tuple[tuple[str, Any], ...] = draft.facts.get("levels", ())
    if found is not None and (found.closed or found.whole):
        draft.reads_private = bool(found.closed)
    if draft.token.startswith("ghu_") and levels:
        changing = [name for name, level in levels if level in _CHANGES]
        draft.writes = bool(changing)
        draft.admin = any("administration" in str(name) for name in changing)
        draft.infer(Ability.WRITES, Ability.ADMIN)
    elif draft.token.startswith("ghs_") and found is not None and found.writable:
        draft.writes = True
    why = {
        "ghs_": "GitHub tells an installation's permissions to its app alone",
        "gith": "GitHub tells a fine-grained token's permissions to its owner and organisation alone",
    }.get(draft.token[:4], "GitHub did not say")
    for ability, value in (
        (Ability.READS_PRIVATE, draft.reads_private),
        (Ability.WRITES, draft.writes),
        (Ability.ADMIN, draft.admin),
    ):
        if value is None:
            draft.miss(why, ability)
    if not levels:
        draft.miss(why, Ability.PERMISSIONS)


def _asks(path: str, *but: str, only: str = "") -> Any:
    """Return what asks at a path with tokens that don't begin as `but`, or that begin as `only`."""

    def request(draft: AbilityDraft) -> messages.Request | None:
        if draft.token.startswith(but or ("\0",)) or not draft.token.startswith(only):
            return None
        more = "&" if "?" in path else "?"
        url = f"{draft.target.base}{path}{more}per_page={_A_PAGE}&page={draft.page}"
        return messages.Request("GET", url, ACCEPT | messages.bearer(draft.token))

    return request


def _out_of_calls(answer: messages.ProviderAnswer) -> str:
    if answer.headers.get("x-ratelimit-remaining") != "0":
        return ""
    again = _again(answer)
    more = "no more calls with it now" if again is None else f"more from {again:%H:%M} UTC"
    return f"asked too often: GitHub takes {more}"


_QUESTIONS = AbilityQuestions(
    first=_read_identity,
    further=(
        AbilityQuestion(
            (Ability.REPOSITORIES,), _asks("/user/repos", "ghs_"), listed_in(), _read_repositories, PAGES
        ),
        AbilityQuestion(
            (Ability.REPOSITORIES,),
            _asks("/installation/repositories", only="ghs_"),
            listed_in("repositories"),
            _read_repositories,
            PAGES,
        ),
        AbilityQuestion(
            (Ability.PERMISSIONS,),
            _asks("/user/installations", only="ghu_"),
            listed_in("installations"),
            _read_installations,
            PAGES,
        ),
        # A fine-grained token is given an empty list, which says nothing.
        AbilityQuestion(
            (Ability.PLACES,),
            _asks("/user/orgs", "ghs_", "github_pat_", "ghu_"),
            listed_in(),
            _read_organisations,
            PAGES,
        ),
    ),
    conclude=_conclude,
    refused=_refused,
    throttled=rate_limited,
    exhausted=_out_of_calls,
)

PROVIDERS = (
    Provider(
        name="github",
        base=GITHUB,
        question=_question,
        said=_read,
        revocation=revocation,
        abilities=_QUESTIONS,
        log_query=hashed_query,
    ),
)
