"""What a job is going to be: the tokens, how long it takes, what it costs, and who would lose access."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from crypto_core.counting import counted
from crypto_core.database.tokens import TokenStore
from crypto_core.envelope import Format
from crypto_core.key_names import region_of, same_key
from crypto_core.reencryption.bulk.quota import DEFAULT_SHARE, dollars, quota_of
from crypto_core.reencryption.jobs.closing import scope_formats
from crypto_core.reencryption.jobs.model import JobOptions, JobPlan, calls_per_token
from crypto_core.reencryption.jobs.ports import CompareAccess
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.reencryption.planner import Planner

_V2_STAYS = "a v2 envelope is bound to the key that it names; re-encrypt it instead"


class JobPlanner:
    """Makes plans of jobs. Blocks on SQL and KMS."""

    def __init__(
        self,
        planner: Planner,
        store: TokenStore,
        compare: CompareAccess,
        in_use: Callable[[], Iterable[str]],
        *,
        quota: Callable[[str], int] = quota_of,
    ) -> None:
        """`in_use` gives the ARNs of all keys that tokens are under."""
        self._planner = planner
        self._store = store
        self._compare = compare
        self._in_use = in_use
        self._quota = quota

    def plan(self, verb: Verb, selection: Selection, target: str, options: JobOptions) -> JobPlan:
        """Return what would happen. Nothing is changed. Raises as Planner.plan."""
        plan = self._planner.plan(verb, selection, target, allow_downgrade=options.allow_downgrade)
        if verb is Verb.REWRAP and plan.by_format.get(Format.V2):
            plan = self._without_v2(plan)
        quota = self._quota(region_of(plan.target_key_arn) or "")
        rate = options.calls_per_second or quota * DEFAULT_SHARE
        calls = plan.tokens * (calls_per_token(verb) + options.ask_kms)
        compared = [
            self._compare(source, plan.target_key_arn, options.accepted) for source in self._sources(plan)
        ]
        notes = dict.fromkeys(note for one in compared for note in one.notes)
        return JobPlan(
            plan=replace(plan, warnings=(*plan.warnings, *notes)),
            options=options,
            calls_per_second=rate,
            seconds=calls / rate if rate else 0.0,
            dollars=dollars(calls),
            quota=quota,
            losses=tuple(dict.fromkeys(loss for one in compared for loss in one.losses)),
        )

    def _sources(self, plan: Plan) -> list[str]:
        """The keys that tokens may leave: of a selection over several keys, all that there are."""
        if plan.verb is Verb.ENCRYPT or not plan.tokens:
            return []
        found = [plan.source_key_arn] if plan.source_key_arn else sorted(set(self._in_use()))
        return [arn for arn in found if not same_key(arn, plan.target_key_arn)]

    def _without_v2(self, plan: Plan) -> Plan:
        """The plan without what can't be rewrapped, which is counted as refused."""
        scope = replace(plan.scope, formats=scope_formats(plan.verb))
        tally = self._store.tally(scope)
        by_format = Counter[Format]()
        for formats in tally.values():
            by_format.update(formats)
        v2 = counted(plan.by_format[Format.V2], "v2 envelope")
        return replace(
            plan,
            scope=scope,
            tokens=by_format.total(),
            by_column={column: sum(formats.values()) for column, formats in tally.items()},
            by_format=by_format,
            refused=(*plan.refused, Unwritten(v2, _V2_STAYS)),
        )
