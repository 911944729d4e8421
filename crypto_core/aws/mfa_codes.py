"""Codes of MFA devices, which roles may demand: who is asked for them, and how.

A profile with `mfa_serial` takes its role with a code (AWS CLI User Guide, "Using MFA"). botocore would read
it from the terminal; here whoever has a terminal or a screen gives a function that asks.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from crypto_core.values.clean_text import NO_TEXT, CleanText, clean, cleans
from crypto_core.values.errors import CodeNotEnteredError
from crypto_core.values.secret import Secret

_CODE = re.compile(r"[0-9]{6}")
_PROMPT = re.compile(r"Enter MFA code for (.*): ", re.DOTALL)
_REFUSED = "MultiFactorAuthentication failed"
"""How STS says that a code is wrong, was used before, or is not of this device."""


@dataclass(frozen=True, slots=True)
@cleans(profile=100, device=300, trouble=400)
class CodeQuestion:
    """Which code is wanted. `trouble` is why the one before was not taken, "" at first. Cleaned text."""

    profile: CleanText
    device: CleanText
    trouble: CleanText = NO_TEXT


AskCode = Callable[[CodeQuestion], Secret | None]
"""Returns the code as entered, None if the operator gives up. Called by one thread at a time; blocks.

Raises CodeNotEnteredError where nobody can be asked.
"""


def nobody_to_ask(question: CodeQuestion) -> Secret | None:
    raise CodeNotEnteredError(
        f"No credentials for profile {question.profile}: it needs an MFA code, and there is no terminal to"
        " ask on.",
        remedy="Run it on a terminal, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        " to what aws sts assume-role gives.",
    )


class CodePrompter:
    """What botocore calls for a code, instead of reading the terminal."""

    def __init__(self, profile: str, ask: AskCode) -> None:
        self._profile = profile
        self._ask = ask
        self.trouble = ""
        """Why AWS did not take the last code."""

    def __call__(self, prompt: str) -> str:
        """Return a code of six digits. Raises CodeNotEnteredError."""
        found = _PROMPT.fullmatch(prompt)
        question = CodeQuestion(clean(self._profile), clean(found[1] if found else ""), clean(self.trouble))
        while True:
            entered = self._ask(question)
            if entered is None:
                raise CodeNotEnteredError(
                    f"No credentials for profile {question.profile}: its MFA code was not entered."
                )
            code = "".join(entered.reveal().split())  # shown in two groups by many devices
            if _CODE.fullmatch(code):
                return code
            question = replace(question, trouble=clean("A code has six digits."))


def refused_code(error: Any) -> str:
    """Return why AWS did not take a code, by botocore's ClientError; "" if it is about something else."""
    message = str(error.response.get("Error", {}).get("Message", ""))
    return clean(message, 400) if error.operation_name == "AssumeRole" and _REFUSED in message else ""


def keep_off_the_terminal(core: Any, prompter: CodePrompter, cache: dict[str, Any]) -> None:
    """Have a botocore session ask for codes by a prompter, keep roles' credentials in `cache`, and start what
    gives credentials (`credential_process`) without a terminal.
    """
    from botocore.credentials import ProcessProvider

    chain = core.get_component("credential_provider")
    roles = chain.get_provider("assume-role")
    roles.cache = cache
    # botocore has no other way to these but to make its whole chain again.
    roles._prompter = prompter  # noqa: SLF001
    popen = partial(subprocess.Popen, stdin=subprocess.DEVNULL, start_new_session=True)
    chain.get_provider("custom-process")._popen = popen  # noqa: SLF001
    roles._profile_provider_builder._create_process_provider = partial(  # noqa: SLF001
        ProcessProvider, load_config=lambda: core.full_config, popen=popen
    )
