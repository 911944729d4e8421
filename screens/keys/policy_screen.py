"""The policy of one key: in words, and word for word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from textual.content import Content
from textual.highlight import highlight
from textual.widget import Widget

from crypto_core.findings.finding import Severity
from crypto_core.keys.policy.access import Access, Sentence
from crypto_core.keys.policy.comparison import written
from crypto_core.keys.policy.policy_reader import KeyPolicy
from crypto_core.values.cancellation import Cancellation
from crypto_core.values.counts import counted
from crypto_core.values.key_names import account_of
from screens.actions.action import Action
from screens.answer_screen import AnswerScreen
from screens.facts import ScreenFacts
from screens.routes import PolicyRoute
from screens.signs import SIGNS, Sign
from screens.use.lines import NAME_CELLS, fact
from screens.widgets.cells import cut, fit
from screens.widgets.line_list import Line, LineList
from screens.widgets.notice import NoticeBar

_DENIED = Sign("–", "$muted")


def signed(policy: KeyPolicy) -> Iterator[tuple[Sign, Sentence]]:
    """Yield each sentence with a sign: ✖ for everybody, ▲ for another account, – for what is denied."""
    found = policy.accesses
    for number, sentence in enumerate(policy.sentences):
        yield (_sign(found[number], policy) if number < len(found) else _DENIED), sentence


def _sign(access: Access, policy: KeyPolicy) -> Sign:
    if access.is_public:
        return SIGNS[Severity.CRITICAL]
    own = account_of(policy.key.key_arn)
    if access.principal.kind == "AWS" and access.accounts - {own}:
        return SIGNS[Severity.HIGH]
    return SIGNS[Severity.LOW]


def access_lines(policy: KeyPolicy, width: int, most: int) -> list[Line]:
    """Return up to `most` lines, each of which leads to the policy; the last says how many more there are."""
    found = list(signed(policy))
    shown = found if len(found) <= most else found[: most - 1]
    route = PolicyRoute(policy.key.key_arn)
    lines = [
        Line(_line("may use" if not number else "", sign, sentence, width), route, hint=_hint(sentence))
        for number, (sign, sentence) in enumerate(shown)
    ]
    if len(shown) < len(found):
        more, hint = f"and {len(found) - len(shown):,} more", "Enter: the policy."
        lines.append(fact("", more, width, style="$muted", target=route, hint=hint))
    return [*lines, *(fact(part, why, width, style="$warning") for part, why in policy.missing.items())]


def _line(name: str, sign: Sign, sentence: Sentence, width: int) -> Content:
    where = f", {sentence.where}" if sentence.where else ""
    words = f"{sentence.may} {sentence.what}{where}"
    who = sentence.who
    return Content.assemble(
        (fit(name, NAME_CELLS), "$muted"),
        sign,
        " ",
        (cut(who, width - NAME_CELLS - 2), "bold"),
        " ",
        cut(words, max(width - NAME_CELLS - 3 - len(who), 1)),
    )


def _hint(sentence: Sentence) -> str:
    return f"Enter: the policy. {sentence}"


def sentence_lines(policy: KeyPolicy, width: int) -> Sequence[list[Content]]:
    sentences = []
    for sign, sentence in signed(policy):
        content = Content.assemble(
            sign, " ", (sentence.who, "bold"), f" {str(sentence)[len(sentence.who) + 1 :]}"
        )
        first, *rest = content.wrap(max(width - 2, 10))
        sentences.append([first, *(Content.assemble("  ", line) for line in rest)])
    return sentences


class PolicyText(LineList):
    """Text to read: the cursor rests on every line."""

    def selectable(self, index: int) -> bool:
        return 0 <= index < self.line_count()

    def possible(self, action: Action) -> bool | None:
        return False if action.name == "open" else super().possible(action)


class PolicyScreen(AnswerScreen[KeyPolicy]):
    NAME = "policy"
    EVERY = 300.0

    def __init__(self, facts: ScreenFacts, key_arn: str) -> None:
        super().__init__(facts)
        self.key_arn = key_arn

    def body(self) -> Iterable[Widget]:
        yield NoticeBar()
        yield PolicyText()

    @property
    def crumb(self) -> tuple[str, str]:
        return "Policy", ""

    def ask_for(self, cancelled: Cancellation) -> KeyPolicy:
        return self.facts.services.policies.read(self.key_arn)

    def lines(self, answer: KeyPolicy, width: int) -> Iterable[Line]:
        return policy_lines(answer, width)


def policy_lines(policy: KeyPolicy, width: int) -> list[Line]:
    grants = "" if "grants" in policy.missing else f" and {counted(len(policy.grants), 'grant')}"
    statements = counted(len(policy.document.statements), "statement")
    lines = [Content.assemble(("Who may do what", "bold"), (f"   by {statements}{grants}", "$muted"))]
    for sentence in sentence_lines(policy, width):
        lines += sentence
    for part, why in policy.missing.items():
        lines.append(Content.assemble(("▲ ", "$warning"), f"{part} not known: {why}"))
    lines += [Content(""), Content.assemble(("Policy", "bold"), ("   as KMS has it", "$muted"))]
    # Other characters than ASCII are escaped in it, so nothing in it can act on the terminal.
    for line in highlight(written(policy.document.raw), language="json").split("\n", allow_blank=True):
        lines += line.fold(width) or [Content("")]
    return [Line(line) for line in lines]
