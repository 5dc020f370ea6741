"""Check that tox really ran what was asked, and add up the tests: RESULT.json ENV,ENV,...

tox says success of an environment that it skipped. Here each one must have run its commands to the
end, on the Python and the Django in its name, and a test environment must have passed a test.
The last line is the total of all environments.
"""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Environment = dict[str, Any]

SUMMARY = re.compile(r"^=*\s*(\d+ \w+(?:, \d+ \w+)*) in [\d.]+s", re.MULTILINE)
#: Environments whose commands are no tests.
WITHOUT_TESTS = ("package", "migrations-")


def problems(name: str, environment: Environment | None) -> Iterator[str]:
    """Why this environment doesn't count as passed; nothing when it does."""
    if environment is None:
        yield "did not run"
        return
    result = environment.get("result", {})
    if result.get("skipped"):
        yield "was skipped"
    elif not result.get("success"):
        yield f"failed (exit code {result.get('exit_code')})"
    elif not environment.get("test"):
        yield "ran no command"
    elif not name.startswith(WITHOUT_TESTS) and not counts(environment)["passed"]:
        yield "passed no test"
    yield from wrong_versions(name, environment)


def wrong_versions(name: str, environment: Environment) -> Iterator[str]:
    """A Python or Django that isn't the one in the environment's name."""
    packages = [package.lower() for package in environment.get("installed_packages", [])]
    for factor in name.split("-"):
        number = re.fullmatch(r"(py|dj)(\d)(\d+)", factor)
        if not number:
            continue
        wanted = f"{number[2]}.{number[3]}."
        if number[1] == "py":
            found = environment.get("python", {}).get("version", "nothing").split()[0]
        else:
            found = next(
                (p.split("==")[1] for p in packages if p.startswith("django==")), "nothing"
            )
        if not found.startswith(wanted):
            yield f"{factor} ran on {found}"


def counts(environment: Environment) -> Counter[str]:
    """Tests by outcome, from the closing lines of every pytest run of the environment."""
    total: Counter[str] = Counter()
    for command in environment.get("test", []):
        for line in SUMMARY.findall(command.get("output", "")):
            for number, outcome in (part.split(" ") for part in line.split(", ")):
                total[{"error": "failed", "errors": "failed"}.get(outcome, outcome)] += int(number)
    return total


def main(path: str, names: list[str]) -> int:
    report = Path(path)
    environments = json.loads(report.read_text())["testenvs"] if report.exists() else {}
    failed, total = 0, Counter[str]()
    for name in names:
        environment = environments.get(name)
        found = "; ".join(problems(name, environment))
        tests = counts(environment or {})
        total += tests
        failed += bool(found)
        outcomes = ", ".join(f"{number} {outcome}" for outcome, number in tests.items())
        seconds = (environment or {}).get("result", {}).get("duration", 0)
        print(f"{name:20} {seconds:6.0f} s  {found or 'ok':10} {outcomes}")
    if failed:
        print(f"{failed} of {len(names)} environments did not pass")
    failures = total["failed"] or failed
    print(f"tests: {total['passed']} passed, {failures} failed, {total['skipped']} skipped")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2].split(",")))
