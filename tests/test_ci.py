"""The scripts of `.ci/`: what they call a success is one."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CI = ROOT / ".ci"

pytestmark = pytest.mark.skipif(not CI.exists(), reason="a source distribution has no .ci")


def script(name):
    """One of the scripts as a module."""
    spec = importlib.util.spec_from_file_location(name, CI / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# The README's commands


@pytest.fixture
def command(monkeypatch, capsys):
    def nth(number, readme=ROOT / "README.md"):
        monkeypatch.setattr(sys, "argv", ["readme_command.py", str(readme), str(number)])
        exec(compile((CI / "readme_command.py").read_text(), "command", "exec"), main)
        return capsys.readouterr().out

    main = {"__name__": "__main__"}
    return nth


def test_the_two_commands_of_the_readme(command):
    assert command(1).endswith("example_project/manage.py demo\n")
    assert command(2).endswith("-m pytest -q\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("# Try it from a clone\n\n```sh\na\nb\n```\n", "must be one line"),
        ("# Try it from a clone\n\n```\na\n```\n", "no sh block 1"),
        ("# Elsewhere\n\n```sh\na\n```\n", "no sh block 1"),
        ("# Try it from a clone\n\n# Later\n\n```sh\na\n```\n", "no sh block 1"),
    ],
)
def test_a_readme_without_the_command(command, tmp_path, text, fault):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(SystemExit, match=fault):
        command(1, readme)


# What tox did

PASSED = "1200 passed, 3 skipped in 61.20s (0:01:01)\n"


def environment(output=PASSED, **changes):
    """What tox reports of a good run."""
    return {
        "result": {"success": True, "exit_code": 0, "duration": 61.0},
        "python": {"version": "3.13.0 (main)"},
        "installed_packages": ["Django==6.1.3", "pytest==8.2"],
        "test": [{"output": output, "retcode": 0}],
        **changes,
    }


@pytest.fixture
def verify(tmp_path, capsys):
    """Exit status and printed lines for these environments."""

    def run(environments, names):
        path = tmp_path / "result.json"
        path.write_text(json.dumps({"testenvs": environments}))
        status = script("verify_tox").main(str(path), names)
        return status, capsys.readouterr().out.splitlines()

    return run


def test_a_good_run_is_added_up(verify):
    environments = {"py313-dj61": environment(), "lint": environment("== 30 passed in 0.5s ==\n")}
    status, lines = verify(environments, list(environments))
    assert status == 0
    assert lines[-1] == "tests: 1230 passed, 0 failed, 3 skipped"


@pytest.mark.parametrize(
    ("name", "found", "problem"),
    [
        ("py313-dj61", None, "did not run"),
        ("py313-dj61", environment(result={"skipped": True, "success": True}), "was skipped"),
        ("py313-dj61", environment(result={"success": False, "exit_code": 2}), "exit code 2"),
        ("py313-dj61", environment(test=[]), "ran no command"),
        ("py313-dj61", environment("no tests ran in 0.01s\n"), "passed no test"),
        ("py313-dj61", environment("4 skipped in 0.01s\n"), "passed no test"),
        ("py313-dj52", environment(), "dj52 ran on 6.1.3"),
        ("py310-dj61", environment(), "py310 ran on 3.13.0"),
        ("migrations-dj60", environment("No changes detected\n"), "dj60 ran on 6.1.3"),
        ("package", None, "did not run"),
    ],
)
def test_what_is_no_success(verify, name, found, problem):
    environments = {"lint": environment(), **({name: found} if found else {})}
    status, lines = verify(environments, ["lint", name])
    assert status == 1
    (told,) = [line for line in lines if line.startswith(name)]
    assert problem in told


def test_a_failed_test_is_a_failure_whatever_tox_says(verify):
    environments = {"lint": environment("1 failed, 2 errors, 30 passed in 1.00s\n")}
    status, lines = verify(environments, ["lint"])
    assert (status, lines[-1]) == (1, "tests: 30 passed, 3 failed, 0 skipped")


def test_commands_that_are_no_tests_need_none(verify):
    environments = {"migrations-dj61": environment("No changes detected\n")}
    assert verify(environments, ["migrations-dj61"])[0] == 0


def test_no_report_at_all_is_a_failure(tmp_path):
    assert script("verify_tox").main(str(tmp_path / "absent.json"), ["lint"]) == 1
