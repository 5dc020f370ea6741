"""Build the package as a release would, check it, and run the demo from the wheel alone.

`tox -e package` runs this; it needs build, twine and check-wheel-contents in its interpreter.
Everything happens in a temporary folder on a copy of the checkout, so nothing is left behind and
the demo can't import the checkout by accident.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "django_smtpauth"
#: Neither sources nor wanted in a build.
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".tox",
    ".venv*",
    ".*_cache",
    ".hypothesis",
    "__pycache__",
    "*.egg-info",
    "build",
    "data",
    "dist",
)
#: Warnings are errors in the demo, but for the one that Django 6.1 has for its own settings.
WARNINGS = ("-W", "error", "-W", "ignore:The EMAIL_")
#: What somebody who packages or patches the source distribution needs beside the package.
SOURCE_FILES = {
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "SECURITY.md",
    "docs/architecture.md",
    "example_project/manage.py",
    "pyproject.toml",
    "setup.cfg",
    "tests/settings.py",
    "tox.ini",
}


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="package-check-") as folder:
        work = Path(folder)
        sdist, wheel = build(work)
        check_metadata(sdist, wheel)
        check_contents(sdist, wheel, work / "source")
        run_demo(wheel, work)
    print("package: build, metadata, contents and the demo from the wheel are fine")


def build(work: Path) -> tuple[Path, Path]:
    """A source distribution, and the wheel that is built from it: (sdist, wheel)."""
    shutil.copytree(ROOT, work / "source", ignore=LEFT_OUT)
    run(sys.executable, "-m", "build", "--outdir", work / "dist", work / "source", cwd=work)
    (sdist,) = (work / "dist").glob("*.tar.gz")
    (wheel,) = (work / "dist").glob("*.whl")
    return sdist, wheel


def check_metadata(sdist: Path, wheel: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel, cwd=wheel.parent)
    # W004: a migration's name, 0001_initial, is no identifier. Django imports it all the same.
    options = ("--toplevel", PACKAGE, "--ignore", "W004")
    run(sys.executable, "-m", "check_wheel_contents", *options, wheel, cwd=wheel.parent)


def check_contents(sdist: Path, wheel: Path, source: Path) -> None:
    """The wheel holds every file of the package and nothing else; the sdist what builders need."""
    expected = {
        path.relative_to(source).as_posix()
        for path in (source / PACKAGE).rglob("*")
        if path.is_file()
    }
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    expect_equal("wheel", names, expected)

    with tarfile.open(sdist) as archive:
        shipped = {name.partition("/")[2] for name in archive.getnames()}
    expect_equal(
        "source distribution", shipped & (SOURCE_FILES | expected), SOURCE_FILES | expected
    )


def expect_equal(what: str, found: set[str], expected: set[str]) -> None:
    if found != expected:
        missing, surplus = sorted(expected - found), sorted(found - expected)
        sys.exit(f"{what}: missing {missing}, unexpected {surplus}")


def run_demo(wheel: Path, work: Path) -> None:
    """Install the wheel into an empty environment and run the example site's demo with it."""
    venv.create(work / "venv", with_pip=True)
    python = work / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[demo]", cwd=work)

    shutil.copytree(ROOT / "example_project", work / "site" / "example_project", ignore=LEFT_OUT)
    shutil.rmtree(work / "source")
    where = run(python, "-c", f"import {PACKAGE}; print({PACKAGE}.__file__)", cwd=work).strip()
    if not Path(where).is_relative_to(work / "venv"):
        sys.exit(f"the demo would import {where}, not the installed wheel")
    print(run(python, *WARNINGS, "example_project/manage.py", "demo", cwd=work / "site"))


def clean_environment() -> dict[str, str]:
    """The environment without what could lead a child to the checkout."""
    return {
        key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "DJANGO"))
    }


def run(*command: object, cwd: Path) -> str:
    """The command's output; where it fails, the output is shown and the check ends."""
    print("$", *command, flush=True)
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nexit code {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()
