"""The manual's pages and README: links and pictures lead somewhere; README is two screens long."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.left_out import is_left_out

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "console" / "manual" / "pages"
WRITTEN = (ROOT / "README.md", *sorted(PAGES.glob("*.md")), *sorted((ROOT / "console").glob("*/*.md")))
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def anchors(file: Path) -> set[str]:
    text = FENCE.sub("", file.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", WRITTEN, ids=lambda file: file.stem)
def test_every_link_and_picture_leads_somewhere(file: Path) -> None:
    for link in LINK.findall(FENCE.sub("", file.read_text(encoding="utf-8"))):
        if link.startswith("https://"):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (file.parent / path).resolve() if path else file
        if target.is_relative_to(ROOT) and is_left_out(str(target.relative_to(ROOT))):
            continue
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_readme_is_two_screens_long_with_one_picture_two_commands_and_five_links() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 50
    assert text.count("![") == 1
    assert [line for line in text.splitlines() if line.startswith("python3 -m venv")] == re.findall(
        r"```sh\n(.+)\n```", text
    )
    assert text.count("```sh") == 2
    assert text.count("\n- [") == 5
    assert len(re.findall(r"^python3 -m venv .*pytest", text, re.MULTILINE)) == 1, "what .ci/run takes"
