"""What failed at the last run, in a file: so that a monitor tells a failure once."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

from django_smtpauth.diagnosis.report import Report

from .exits import stage_of

_VERSION: Final = 1
#: Octets of the file that are read at most.
_MOST: Final = 4 * 2**20

#: Targets that failed: the stage, and the rule that explains it.
Failures = dict[str, list[str]]


def failures_of(reports: Iterable[Report]) -> Failures:
    """What failed, by target. There is no address in it."""
    return {
        " ".join(filter(None, (one.target.kind, one.target.name, one.target.server))): [
            stage_of(one),
            next((finding.rule for finding in one.findings if finding.severity == "error"), ""),
        ]
        for one in reports
        if not one.ok
    }


def is_new(report: Report, before: Failures) -> bool:
    """Whether it failed, and not so at the last run."""
    return any(before.get(name) != how for name, how in failures_of([report]).items())


def load(path: str) -> Failures:
    """What the last run left; nothing if there was none. Raises OSError and ValueError."""
    try:
        with Path(path).open(encoding="utf-8") as file:
            kept: Any = json.loads(file.read(_MOST))
    except FileNotFoundError:
        return {}
    if not isinstance(kept, dict) or kept.get("smtptest") != _VERSION:
        raise ValueError("it is no file of smtptest --changes")
    return dict(kept["failed"])


def save(path: str, failures: Failures) -> None:
    """Replaces the file at once, so that a run beside this one reads a whole one."""
    text = json.dumps({"smtptest": _VERSION, "failed": failures}, indent=2, sort_keys=True)
    target = Path(path)
    with NamedTemporaryFile(
        "w", encoding="utf-8", dir=target.parent, prefix=f".{target.name}-", delete=False
    ) as file:
        try:
            file.write(f"{text}\n")
            file.close()
            os.replace(file.name, target)
        except BaseException:
            os.unlink(file.name)
            raise
