"""Where the console works, changed without a restart: what is learnt afterwards is of the new place only."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from threading import Event

import pytest

from crypto_core.values.errors import SettingsError
from screens.connections.screen import ConnectionsScreen
from screens.context import ContextDialog
from screens.estate_status import EstateStanding, SharedKey
from screens.services import Context, Contexts, DatabaseChoice, Offered, Services
from screens.status.screen import StatusScreen
from screens.widgets.line_list import LineList
from tests.screens.deck import LARGE, SMALL, deck
from tests.screens.hostile import EACH_TEXT, harmless_after
from tests.screens.samples import KEYS
from tests.screens.stage import Stage


@dataclass
class StageContexts:
    """A stage for each database; the profile only changes what the header says."""

    stage: Stage
    others: dict[str, Stage] = field(default_factory=dict)
    now: Context = field(default_factory=lambda: Context("", "default"))
    profiles: tuple[str, ...] = ("", "admin", "audit")
    trouble: str = ""
    standings: tuple[EstateStanding, ...] = ()
    shared: tuple[SharedKey, ...] = ()

    def estates(
        self, cancelled: Event | None = None
    ) -> tuple[tuple[EstateStanding, ...], tuple[SharedKey, ...]]:
        self.stage.enter("estates", cancelled)
        return self.standings, self.shared

    def current(self) -> Context:
        return self.now

    def offered(self) -> Offered:
        self.stage.enter("offered")
        databases = [DatabaseChoice(name, f"postgresql://ana:***@{name}/tokens") for name in self._stages()]
        return Offered(self.profiles, tuple(databases), self.trouble)

    def switch(
        self, *, profile: str | None = None, database: str | None = None, estate: str | None = None
    ) -> Services:
        self.stage.enter("switch")
        if profile is not None and profile not in self.profiles:
            raise SettingsError(f"There is no AWS profile {profile!r}.", remedy="Profiles: admin, audit.")
        chosen = Context(
            self.now.profile if profile is None else profile,
            self.now.database if database is None else database,
            self.now.estate if estate is None else estate,
        )
        stage = self._stages()[chosen.database]
        stage.contexts = self
        stage.place = replace(stage.place, profile=chosen.profile, database=f"{chosen.database}@pg-1")
        self.now = chosen
        return stage.services()

    def _stages(self) -> dict[str, Stage]:
        return {"default": self.stage, **self.others}


def places(**others: Stage) -> Stage:
    stage = Stage()
    stage.contexts = StageContexts(stage, others)
    return stage


def small() -> Stage:
    stage = Stage(keys=KEYS[:1])
    stage.rows = [row for row in stage.rows if row.provider == "slack"][:20]
    return stage


def test_the_stage_is_what_screens_expect() -> None:
    contexts: Contexts = StageContexts(Stage())
    assert contexts.current().database == "default"


async def test_c_lists_profiles_and_databases_with_the_ones_in_use_marked() -> None:
    async with deck(places(archive=small()), size=LARGE) as d:
        await d.press("c")
        assert isinstance(d.app.screen, ContextDialog)
        for words in ("AWS profile", "● (none)", "admin", "● default"):
            assert words in d.text()
        await d.press("enter", "down")
        line = d.app.screen.query_one(LineList).current
        assert line is not None
        assert "archive" in line.content.plain
        assert "postgresql://ana:***@archive/tokens" in d.line_with("archive")


async def test_a_part_of_a_name_is_enough_and_enter_switches() -> None:
    async with deck(places(archive=small()), size=LARGE) as d:
        await d.press("c")
        await d.type("arch")
        assert "audit" not in "".join(d.lines()[4:])
        await d.press("enter")
        assert isinstance(d.app.screen, StatusScreen)
        assert "db archive@pg-1" in d.lines()[0]
        assert d.toasts() == ["Context changed; everything is being reloaded."]


async def test_enter_on_a_line_of_the_list_switches() -> None:
    async with deck(places(archive=small()), size=LARGE) as d:
        await d.press("c")
        await d.type("a")
        await d.press("enter", "down", "enter")
        assert "db archive@pg-1" in d.lines()[0]
        assert "20 tokens" in d.text()


async def test_escape_in_the_dialog_changes_nothing() -> None:
    async with deck(places(archive=small())) as d:
        await d.press("c", "escape")
        assert "switch" not in d.stage.calls
        assert "1,200 tokens" in d.text()


@pytest.mark.parametrize("command", ["context database archive", "ctx database archive"])
async def test_a_command_switches_without_the_dialog(command: str) -> None:
    async with deck(places(archive=small())) as d:
        await d.command(command)
        assert "archive@pg-1" in d.lines()[0]


@pytest.mark.deep
async def test_after_the_switch_facts_tables_and_drilled_screens_are_of_the_new_place() -> None:
    archive = small()
    async with deck(places(archive=archive), size=LARGE) as d:
        await d.press("enter")
        assert isinstance(d.app.screen, ConnectionsScreen)
        await d.press("space", "2", "space", "3", "1")
        assert d.app.screen.crumb == ("Connections", "format:plaintext")
        await d.command("context database archive")
        assert "20 tokens" in d.lines()[2]
        assert len(d.app.screen_stack) == 1
        await d.press("2")
        assert "1 of 20 tokens" in d.lines()[1]
        assert "marked" not in d.lines()[1]
        await d.press("3")
        assert "1 of 1 key" in d.lines()[1]
        old = list(d.stage.calls)
        await d.press("1", "r", "2", "r", "enter", "3", "r")
        assert d.stage.calls == old
        assert "page" in archive.calls


async def test_a_switch_from_a_drilled_screen_leads_to_the_first_screen_of_its_mode() -> None:
    async with deck(places(archive=small())) as d:
        await d.press("enter")
        await d.command("context database archive")
        assert isinstance(d.app.screen, StatusScreen)
        await d.press("escape")
        assert isinstance(d.app.screen, StatusScreen)


async def test_late_answers_of_the_place_before_are_ignored() -> None:
    stage = places(archive=small())
    async with deck(stage, start="connections") as d:
        gate = stage.hold("page", "count", "status", "keys", "surroundings")
        await d.press("r")
        d.facts.ask_all()
        await d.settle()
        await d.command("context database archive")
        assert "1 of 20 tokens" in d.lines()[1]
        gate.set()
        await d.settle()
        assert "1 of 20 tokens" in d.lines()[1]
        assert "archive@pg-1" in d.lines()[0]
        assert d.facts.status.value is not None
        assert d.facts.status.value.tokens == 20


async def test_what_is_not_offered_is_refused_with_the_reason_and_all_stays() -> None:
    async with deck(places()) as d:
        await d.command("context profile mars-1")
        assert d.toasts() == ["There is no AWS profile 'mars-1'. Profiles: admin, audit."]
        assert "1,200 tokens" in d.text()
        await d.command("context moon mars-1")
        assert "Write :context profile, database or estate" in d.toasts()[-1]


async def test_lists_that_are_not_whole_say_why() -> None:
    stage = places()
    assert isinstance(stage.contexts, StageContexts)
    stage.contexts.trouble = "AWS's configuration files can't be read: line 3"
    async with deck(stage) as d:
        await d.press("c")
        assert "▲ AWS's configuration files can't be read: line 3" in d.text()


async def test_where_the_place_cannot_be_changed_c_says_so() -> None:
    async with deck() as d:
        await d.press("c")
        assert isinstance(d.app.screen, StatusScreen)


async def test_expired_credentials_name_the_way_out_and_renewed_ones_are_picked_up() -> None:
    stage = places()
    before = stage.place
    stage.place = replace(
        before,
        aws_trouble="The session has expired.",
        credentials_remedy="Renew it: aws sso login --profile admin",
    )
    async with deck(stage, size=LARGE) as d:
        assert "✖ AWS: The session has expired. Renew it: aws sso login --profile admin" in d.lines()[1]
        stage.place = before
        await d.press("r")
        assert "expired" not in d.text()


@EACH_TEXT
async def test_hostile_names_are_inert_in_the_dialog(text: str) -> None:
    stage = places(**{text: small()})
    assert isinstance(stage.contexts, StageContexts)
    stage.contexts.profiles = ("", text)
    stage.contexts.trouble = text
    async with deck(stage) as d:
        await harmless_after(d, SMALL, "c", "enter end enter")


async def test_a_dialog_whose_lists_hang_can_be_left() -> None:
    stage = places()
    stage.hold("offered")
    async with deck(stage) as d:
        await d.press("c")
        assert "reading…" in d.text()
        await d.press("escape")
        assert isinstance(d.app.screen, StatusScreen)
