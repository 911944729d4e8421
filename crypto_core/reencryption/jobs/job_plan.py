"""What a job is going to be: the tokens, how long it takes, what it costs, and who would lose access."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import KW_ONLY, dataclass, replace
from threading import Event

from crypto_core.database.tokens.store import TokenStore
from crypto_core.reencryption.bulk.quota import dollars, quota_of
from crypto_core.reencryption.filter_selection import of_formats
from crypto_core.reencryption.jobs.final_census import scope_formats
from crypto_core.reencryption.jobs.model import CompareAccess, JobOptions, JobPlan
from crypto_core.reencryption.plan import Plan, Selection, Unwritten, Verb
from crypto_core.reencryption.plan_steps import by_column, by_format
from crypto_core.reencryption.planner import Planner
from crypto_core.values.cancellation import stop_if
from crypto_core.values.counts import counted
from crypto_core.values.key_names import region_of, same_key

_STAYS = "such an envelope is bound to the key that it names; re-encrypt it instead"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class JobPlanner:
    """Makes plans of jobs. Blocks on SQL and KMS."""

    planner: Planner
    store: TokenStore
    compare: CompareAccess
    in_use: Callable[[], Iterable[str]]
    """Gives the ARNs of all keys that tokens are under."""
    _: KW_ONLY
    quota: Callable[[str], int] = quota_of

    def plan_tokens(
        self,
        verb: Verb,
        selection: Selection,
        target: str,
        options: JobOptions,
        *,
        cancelled: Event | None = None,
    ) -> Plan:
        """Return what would happen to the tokens, however many. Nothing is changed. Raises as Planner."""
        downgrade = options.allow_downgrade
        return self.planner.plan_tokens(
            verb, selection, target, allow_downgrade=downgrade, many=True, cancelled=cancelled
        )

    def plan_job(self, plan: Plan, options: JobOptions, *, cancelled: Event | None = None) -> JobPlan:
        """Return the plan with what it takes as a job. Raises InterruptedRunError once `cancelled` is set."""
        verb = plan.verb
        if verb is Verb.REWRAP and any(f.names_key and n for f, n in plan.by_format.items()):
            plan = self._without_bound(plan)
        quota = self.quota(region_of(plan.target_key_arn) or "")
        rate = options.calls_per_second or float(quota)
        calls = plan.tokens * verb.calls_per_token(ask_kms=options.ask_kms)
        compared = []
        for source in self._sources(plan):
            stop_if(cancelled)
            compared.append(self.compare(source, plan.target_key_arn, options.accepted))
        stop_if(cancelled)
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
        found = [plan.source_key_arn] if plan.source_key_arn else sorted(set(self.in_use()))
        return [arn for arn in found if not same_key(arn, plan.target_key_arn)]

    def _without_bound(self, plan: Plan) -> Plan:
        """The plan without what can't be rewrapped, which is counted as refused."""
        scope = replace(plan.scope, formats=scope_formats(plan.verb))
        if plan.unlisted:
            tally = of_formats(self.planner.filtered(plan.selection).tally(), scope.formats)
        else:
            tally = self.store.tally(scope)
        formats = by_format(tally)
        bound = ((f, n) for f, n in plan.by_format.items() if f.names_key and n)
        stays = tuple(Unwritten(counted(number, f"{f} envelope"), _STAYS) for f, number in bound)
        return replace(
            plan,
            scope=scope,
            tokens=formats.total(),
            by_column=by_column(tally),
            by_format=formats,
            refused=(*plan.refused, *stays),
        )
