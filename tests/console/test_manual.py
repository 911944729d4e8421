"""keydeck help: pages for a terminal and for a browser, all from one source that can't go stale."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import click
import pytest
from rich.cells import cell_len

from console.__main__ import keydeck as command
from console.capabilities import not_installed
from console.manual.book import Book, source
from console.manual.contents import ENTRIES
from console.manual.html import _article, anchor, html_files, write_html
from console.manual.settings import described
from console.settings import Settings
from crypto_core.incidents.runbooks.library import RunbookLibrary
from screens.actions.registry import ACTIONS
from screens.manual.page_lines import page_rows, plain, topics_in
from screens.manual_page import ManualPage, topic_of
from tests.console.chromium import chromium
from tests.console.command_types import Keydeck
from tests.console.test_output import every_command
from tests.console.test_terminal_habits import on_terminal

PAGES = Path(__file__).parents[2] / "console" / "manual" / "pages"
HOSTILE = "<script>alert(1)</script> & \"'\\ .TH \\fB\x1b[31m"
FENCES = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`(keydeck [^`]+)`")


def shown_options(one: click.Command) -> list[str]:
    return [
        flag for at in one.params if not getattr(at, "hidden", False) for flag in at.opts if flag[:2] == "--"
    ]


@cache
def page(topic: str) -> ManualPage:
    return Book().page(topic)


def test_the_contents_have_every_page_of_the_folder_and_no_other() -> None:
    written = {file.stem for file in PAGES.glob("*.md")}
    assert written == {topic for topic, entry in ENTRIES.items() if not entry.file}


@pytest.mark.deep
@pytest.mark.parametrize("width", [40, 100])
def test_every_page_is_laid_out_within_any_width_but_for_code(width: int) -> None:
    for topic in ENTRIES:
        rows = page_rows(page(topic).text, width)
        assert page(topic).title.startswith(plain(rows[0]))
        assert not [plain(row) for row in rows if _is_prose(row) and cell_len(plain(row)) > width], topic
        assert set(topics_in(rows)) <= set(ENTRIES), topic
        assert not any("<!--" in plain(row) for row in rows), topic


def _is_prose(row: tuple[object, ...]) -> bool:
    return "$block" not in str(row)


def test_no_word_of_a_page_is_lost() -> None:
    text = "# T\n\nA `b` **c** [d](e.md), f\n\n- g\n\n  h\n- i\n\n1. j\n2. k\n\n> l\n\n"
    text += "| m | n |\n|---|---|\n| o | p\\|q |\n"
    shown = "\n".join(map(plain, page_rows(text, 40)))
    assert shown == ("T\n\nA b c d, f\n\n• g\n\n  h\n\n• i\n\n1. j\n2. k\n\n│ l\n\nm  n\n──────\no  p|q")
    [link] = [piece.link for row in page_rows(text, 40) for piece in row if piece.link]
    assert (link, topic_of(link), topic_of("https://x/y"), topic_of("../a/SECURITY.md#b")) == (
        *("e.md", "e", ""),
        "security",
    )


def test_a_table_that_is_too_narrow_becomes_one_row_below_another() -> None:
    text = f"| what | why |\n|---|---|\n| {'a' * 30} | {'b' * 30} |\n| c | d |\n"
    assert [plain(row) for row in page_rows(text, 40)] == [
        *("a" * 30, f"  why: {'b' * 30}", "", "c", "  why: d")
    ]


def test_help_prints_a_page_a_commands_help_or_what_may_be_meant(keydeck: Keydeck) -> None:
    printed = keydeck("help", "trouble").stdout
    assert printed.startswith("When something doesn't work\n\nkeydeck doctor examines everything")
    assert "\x1b" not in printed
    assert keydeck("help", "rewrap").stdout == keydeck("rewrap", "--help").stdout.replace("root ", "")
    wrong = keydeck("help", "filtrs\x1b[31m")
    assert (wrong.exit_code, "Did you mean filters?" in wrong.stderr, "\x1b" in wrong.stderr) == (
        2,
        True,
        False,
    )
    assert keydeck("help", "filters", "token").exit_code == 2
    assert keydeck("help", "filters", "--html", "x").exit_code == 2
    assert "privileges, tables" in keydeck("help", "connect").stdout


def test_a_terminal_gets_a_page_in_its_width_with_the_pager_and_bold_titles() -> None:
    code, shown = on_terminal("help", "journal", PAGER="head -3")
    assert (code, len(shown.splitlines())) == (0, 3)
    assert shown.startswith("\x1b[1mThe journal\x1b[0m")
    code, shown = on_terminal("help", "promises", "--no-pager", PAGER="false", NO_COLOR="1")
    assert (code, "\x1b" in shown) == (0, False)
    assert 60 < max(map(len, shown.splitlines())) <= 80


# Held true by what it is built from


def test_every_setting_is_described_and_every_command_step_and_option_is_there() -> None:
    says = described()
    assert set(says) == set(Settings.model_fields)
    assert all(says.values())
    assert all(f"`{name}`" in page("settings").text for name in says)
    for name, one in every_command(command, click.Context(command)):
        assert f"\n## keydeck {name}\n" in page("commands").text
        for option in shown_options(one):
            assert option in page("commands").text, f"{name} {option}"
    for action in ACTIONS:
        assert f"`:{action.name}" in page("actions").text
    shown = " ".join(" ".join(plain(row).split()) for row in page_rows(page("runbooks").text, 100))
    runbooks = RunbookLibrary().read().runbooks
    assert len(runbooks) >= 4
    for step in (step for runbook in runbooks for step in runbook.steps):
        words = (step.title, step.purpose, *step.do, step.on_failure, *step.choices)
        assert [word for word in words if " ".join(word.replace("`", "").split()) not in shown] == []


# Commands in the text


def written_lines(topic: str) -> Iterator[str]:
    """Every line of a page's code that calls keydeck; a crontab's without its time."""
    for kind, code in FENCES.findall(source(topic)):
        if kind.partition(" ")[0] not in ("", "sh"):
            continue
        for line in code.replace("\\\n", " ").splitlines():
            call = re.match(r"(?:\$ |[A-Z_]+=\S+ |(?:[\d*/]+ +){5})*(keydeck(?: .*)?)$", line)
            if call:
                yield call[1]


def parsed(line: str) -> None:
    """Parse a line as the command does, without running anything. Raises UsageError."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|><;")
    lexer.whitespace_split = True
    words: list[str] = []
    for word in lexer:
        if word[0] in "|><;":
            break
        words.append(word)
    words = words[1:]
    one: click.Command = command
    ctx = click.Context(one, info_name="keydeck")
    while isinstance(one, click.Group) and words and not words[0].startswith("-"):
        name, below, words = one.resolve_command(ctx, words)
        assert below is not None
        one, ctx = below, click.Context(below, info_name=name, parent=ctx)
    given, left, _ = one.make_parser(ctx).parse_args([word for word in words if word])
    if left:
        ctx.fail(f"unexpected: {left}")
    for param in one.params:
        value = given.get(param.name)
        checked = isinstance(value, str) and isinstance(param.type, click.Choice | click.types.IntParamType)
        if checked and not re.fullmatch("[A-Z]+", value):  # N and the like stand for what is meant
            param.type.convert(value, param, ctx)


@pytest.mark.parametrize("topic", [t for t, entry in ENTRIES.items() if "crypto_core" not in entry.file])
def test_every_command_that_is_shown_is_one(topic: str) -> None:
    for line in written_lines(topic):
        shown = re.split(r" {2,}|  #", line)[0]
        if not not_installed("".join(shown.split()[1:2])):
            parsed(shown)
    for call in INLINE.findall(page(topic).text):
        words = call.replace("\n", " ").split()[1:]
        if words and any(not_installed(" ".join(words[:number])) for number in (1, 2)):
            continue
        one: click.Command = command
        while isinstance(one, click.Group) and words and re.fullmatch(r"[a-z][a-z-]*", words[0]):
            one = one.get_command(click.Context(one), words.pop(0)) or pytest.fail(call)
        known = {flag for _, at in [("", one), *_below(one)] for param in at.params for flag in param.opts}
        options = {word.partition("=")[0] for word in words if re.fullmatch(r"--[a-z][a-z-]*(=.*)?", word)}
        assert options <= known | {"--help", "--read-only", "--no-pager"}, call


def _below(one: click.Command) -> list[tuple[str, click.Command]]:
    return every_command(one, click.Context(one)) if isinstance(one, click.Group) else []


def test_a_line_that_is_no_command_would_be_found() -> None:
    for wrong in ("keydeck statsu", "keydeck status --jsno", "keydeck status extra", "keydeck jobs show x"):
        with pytest.raises(click.UsageError):
            parsed(wrong)
    assert len(list(written_lines("daily"))) == 10


@pytest.mark.parametrize("topic", [topic for topic in ENTRIES if "\n$ keydeck " in source(topic)])
def test_what_a_command_is_shown_to_print_it_prints(topic: str, keydeck: Keydeck) -> None:
    for _, code in FENCES.findall(source(topic)):
        for shown in re.split(r"^\$ keydeck ", code, flags=re.MULTILINE)[1:]:
            line, _, printed = shown.partition("\n")
            ran = keydeck(*shlex.split(line))
            expected = re.escape(" ".join(printed.split())).replace("…", ".*")
            assert re.fullmatch(expected, " ".join((ran.stdout + ran.stderr).split())), (line, ran)


def test_a_picture_is_drawn_for_browsers_and_fits_on_a_small_terminal() -> None:
    pictures = resources.files("console.manual").joinpath("pictures")
    drawn = {file.name for file in pictures.iterdir()}
    found = [(kind, code) for topic in ENTRIES for kind, code in FENCES.findall(source(topic)) if " " in kind]
    assert sorted(kind for kind, _ in found) == sorted(f"text {name}" for name in drawn)
    assert max(cell_len(line) for _, code in found for line in code.splitlines()) <= 74


def test_code_of_other_languages_is_at_least_well_formed() -> None:
    found = [(kind, code) for topic in ENTRIES for kind, code in FENCES.findall(source(topic))]
    assert {kind for kind, _ in found} >= {"python", "toml"}
    for kind, code in found:
        if kind == "python":
            assert "## " not in code
            compile(code, "the manual", "exec")
        if kind == "toml":
            tomllib.loads(code)


# HTML


class Checked(HTMLParser):
    """Collects ids, links and open elements of a document, and what must not be in it."""

    EMPTY = frozenset(("meta", "br", "hr", "path", "rect", "line", "circle", "img"))

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.open: list[str] = []
        self.foreign: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        self.ids |= {str(given["id"])} if "id" in given else set()
        if tag == "a":
            self.links.append(str(given["href"]))
        if tag in ("script", "link", "img", "iframe", "object") or {"src", "onclick"} & set(given):
            self.foreign.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.EMPTY:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_html_is_whole_and_asks_for_nothing_and_every_link_leads_somewhere() -> None:
    files = html_files()
    assert set(files) == {"index.html", *(f"{topic}.html" for topic in ENTRIES)}
    found = {name: Checked(text) for name, text in files.items()}
    for name, one in found.items():
        assert (one.open, one.foreign) == ([], []), name
        for link in one.links:
            file, _, place = link.partition("#")
            if not link.startswith("https://"):
                assert (file or name) in found, f"{name}: {link}"
                assert not place or place in found[file or name].ids, f"{name}: {link}"
    assert {f"{topic}.html" for topic in ENTRIES} <= set(found["index.html"].links)
    for name, _ in every_command(command, click.Context(command)):
        assert anchor(f"keydeck {name}") in found["commands.html"].ids
    assert "prefers-color-scheme: dark" in files["index.html"]
    assert not re.search(r"url\(|@import|http:", files["index.html"])


def test_no_text_of_a_page_becomes_a_tag() -> None:
    text = (
        f"# {HOSTILE}\n\n{HOSTILE}\n\n- {HOSTILE}\n\n| {HOSTILE} |\n|---|\n| `{HOSTILE}` |\n\n    {HOSTILE}\n"
    )
    written = _article(ManualPage("t", "t", "", "", text))
    assert Checked(written).foreign == []
    assert written.count("&lt;script&gt;") == 6
    assert 'href="javascript' not in _article(ManualPage("t", "t", "", "", "[a](javascript:alert)"))


@pytest.mark.deep
def test_html_is_written_into_a_folder_that_is_made(keydeck: Keydeck, tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    ran = keydeck("help", "--html", str(folder))
    assert ran.exit_code == 0
    assert {file.name for file in folder.iterdir()} == set(html_files())
    refused = keydeck("help", "--html", str(folder / "index.html" / "x"))
    assert (refused.exit_code, "can't be written" in refused.stderr) == (2, True)


@pytest.mark.deep
@pytest.mark.skipif(chromium() is None, reason="no Chromium")
def test_each_page_for_the_worst_day_is_one_sheet_of_paper(tmp_path: Path) -> None:
    write_html(tmp_path)
    for topic in ("key-compromise", "token-leak"):
        printed = tmp_path / f"{topic}.pdf"
        subprocess.run(
            [
                *(str(chromium()), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
                *(f"--user-data-dir={tmp_path / 'profile'}", "--no-pdf-header-footer"),
                *(f"--print-to-pdf={printed}", (tmp_path / f"{topic}.html").as_uri()),
            ],
            capture_output=True,
            check=True,
        )
        assert len(re.findall(rb"/Type\s*/Page\b", printed.read_bytes())) == 1, topic
