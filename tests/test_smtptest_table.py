"""docs/smtptest.md has the options and exit codes that the code knows today."""

from __future__ import annotations

import re

from django.core.management import load_command_class

from django_smtpauth.management.smtptest.arguments import DEPTHS
from tests.smtptest_table import COMMAND, PAGE, page


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), f"Run: {COMMAND}"


def test_every_option_of_the_command_has_its_row() -> None:
    parser = load_command_class("django_smtpauth", "smtptest").create_parser("", "smtptest")
    django_s = {"--help", "--version", "--verbosity", "--settings", "--pythonpath"}
    django_s |= {"--traceback", "--no-color", "--force-color", "--skip-checks"}
    known = {name for one in parser._actions for name in one.option_strings if name[1] == "-"}
    table = page().split("<!-- options", 1)[1]
    listed = [*re.findall(r"^\| `(--[a-z-]+)", table, re.M), "--no-bdat"]
    assert set(listed) == known - django_s
    assert len(listed) == len(set(listed))


def test_the_page_tells_the_depths_of_the_help() -> None:
    section = PAGE.read_text().split("\n## How far\n")[1].split("\n## ")[0]
    told = re.findall(r"^\| `([^`]+)`", section, re.M)
    helped = re.findall(r"^  ((?:smtptest|--stop).*?)(?:  |$)", DEPTHS, re.M)
    assert told == helped
