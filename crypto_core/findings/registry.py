"""Every rule, declared once beside its function; whatever lists, exports or suppresses rules reads them here.

A rule is a function under `@rule(…)` in a module of one of the packages that `Facts` names. All their modules
are imported before rules are listed, so that a new rule is known by being written; a capability's package is
any ROOM/PART/rules. Rules of other packages are declared in the same way; see `declaring_for`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Generic, ParamSpec

from crypto_core.findings.finding import Finding, Gap, Severity
from crypto_core.values.clean_text import clean
from crypto_core.values.errors import KeydeckError
from crypto_core.values.json_records import JsonRecord, shape

_log = logging.getLogger(__name__)

Said = Iterator[Finding | Gap]
"""The registry adds id, techniques and controls."""

_Facts = ParamSpec("_Facts")


class Facts(StrEnum):
    KEY = "key"
    KEYS = "keys"
    TRAILS = "trails"
    IDENTITIES = "identities"
    EVENTS = "events"
    PROVIDERS = "provider events"

    @property
    def packages(self) -> tuple[str, ...]:
        """Where its rules are; none where a capability that has them is left out."""
        return _PACKAGES[self]


_FLOOR = Path(__file__).parents[1]
_ADDED = (found.relative_to(_FLOOR.parent).parts for found in sorted(_FLOOR.glob("forensics/*/rules")))
_PACKAGES = dict.fromkeys(Facts, ("crypto_core.keys.posture",)) | {
    Facts.EVENTS: ("crypto_core.trail.rules",),
    Facts.PROVIDERS: tuple(map(".".join, _ADDED)),
}


@dataclass(frozen=True, slots=True)
class Correlation:
    """What makes events a finding together (Sigma): different values of `distinct`, or `steps` in order."""

    timespan: str
    group_by: tuple[str, ...] = ("userIdentity.arn",)
    distinct: str = ""
    at_least: int = 0
    steps: tuple[str, ...] = ()


class SigmaKeys(StrEnum):
    """Of which keys the events must be; an export fills in those that settings name."""

    ANY = "any"
    GUARDING = "guarding"
    """Keys that guard tokens; any key where settings name none."""
    RETIRED = "retired"
    ALIASES = "aliases"
    """Aliases of keys that guard tokens; any alias where settings name no key."""
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Sigma:
    """A rule as Sigma can state it. `selection` maps CloudTrail's fields to values.

    `services` and `failed` are False where calls of AWS services, and calls that failed, are left out.
    `level` is the severity of what is stated where that isn't the rule's worst, `limits` what Sigma can't
    say, "" where it says all.
    """

    selection: Mapping[str, Any]
    keys: SigmaKeys = SigmaKeys.ANY
    either: tuple[Mapping[str, Any], ...] = ()
    """One of these must hold besides, if there are any."""
    services: bool = True
    failed: bool = True
    level: Severity | None = None
    limits: str = ""
    falsepositives: tuple[str, ...] = ()
    correlation: Correlation | None = None


@dataclass(frozen=True, slots=True)
class NoSigma:
    """Why Sigma can't state a rule: a document of it would match what the rule doesn't call a finding."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rule(JsonRecord, Generic[_Facts]):
    """One rule; called with its facts, it yields its findings and gaps.

    `severity` is the worst that it says; a single finding may be less. `about` adds to the title what is
    found and what is not. `techniques` are ids of MITRE ATT&CK, `controls` the published controls
    that the rule serves. `sigma` is what other tools can search events for, or why they can't.
    """

    id: str
    title: str
    severity: Severity
    facts: Facts
    examine: Callable[_Facts, Said]
    about: str = ""
    techniques: tuple[str, ...] = ()
    controls: tuple[str, ...] = ()
    sigma: Sigma | NoSigma | None = None
    package: str = ""
    """Whose rule it is, by the name of its entry point; "" for Keydeck's own."""

    json_shape = shape("rule=id title severity facts about techniques controls")

    def __call__(self, *facts: _Facts.args, **more: _Facts.kwargs) -> Said:
        for one in self._said(*facts, **more):
            if isinstance(one, Gap):
                yield one
            else:
                yield replace(one, rule=self.id, techniques=self.techniques, controls=self.controls)

    def _said(self, *facts: _Facts.args, **more: _Facts.kwargs) -> Said:
        """Yield what the rule says; where another package's rule fails, a gap says so, and others go on."""
        try:
            yield from map(_checked, self.examine(*facts, **more))
        except KeydeckError:
            raise
        except Exception as error:
            if not self.package:
                raise
            _log.exception("Rule %s of package %s failed.", self.id, self.package)
            yield Gap(clean(f"{self.id} was not examined: it failed: {type(error).__name__}"), self.severity)


def _checked(said: Finding | Gap) -> Finding | Gap:
    if not isinstance(said, Finding | Gap):
        raise TypeError(f"it said a {type(said).__name__}")
    return said


_declared: dict[str, Rule[...]] = {}
_allowed: set[str] = set()
_declares: ContextVar[str] = ContextVar("_declares", default="")


@contextmanager
def declaring_for(package: str) -> Iterator[None]:
    """Take the rules that are declared meanwhile for a package's: their ids begin with its name."""
    before = _declares.set(package)
    try:
        yield
    finally:
        _declares.reset(before)


def allow_packages(names: Iterable[str]) -> None:
    """Use the rules of these packages, and of no other but Keydeck's own."""
    _allowed.clear()
    _allowed.update(names)


def rule(
    id_: str,
    title: str,
    severity: Severity,
    facts: Facts,
    *,
    about: str = "",
    techniques: tuple[str, ...] = (),
    controls: tuple[str, ...] = (),
    sigma: Sigma | NoSigma | None = None,
) -> Callable[[Callable[_Facts, Said]], Rule[_Facts]]:
    """Declare the function below as a rule. Raises ValueError for an id taken or without its package."""

    def declare(examine: Callable[_Facts, Said]) -> Rule[_Facts]:
        package = _declares.get()
        if id_ in _declared:
            raise ValueError(f"two rules have the id {id_}")
        if package and not id_.startswith(f"{package}-"):
            raise ValueError(f"rule {id_} does not begin with {package}-")
        made = Rule(id_, title, severity, facts, examine, about, techniques, controls, sigma, package)
        _declared[id_] = made
        return made

    return declare


def rules_about(*facts: Facts) -> tuple[Rule[...], ...]:
    """Return the rules that read any of these facts, by default every rule, in the order of their ids."""
    wanted = facts or tuple(Facts)
    for package in dict.fromkeys(package for one in wanted for package in one.packages):
        _import_modules(package)
    used = {id_: one for id_, one in _declared.items() if not one.package or one.package in _allowed}
    return tuple(used[id_] for id_ in sorted(used) if used[id_].facts in wanted)


def rule_by_id(id_: str) -> Rule[...] | None:
    return next((one for one in rules_about() if one.id == id_), None)


@cache
def _import_modules(package: str) -> None:
    for module in iter_modules(import_module(package).__path__):
        import_module(f"{package}.{module.name}")
