"""Code that processes of a test site run to make many accounts, rotate them, and compare."""

from __future__ import annotations

import re

from tests.site_process import Site

MAKE = """
made = [
    SMTPAccount(slug=f"a{n}", host="smtp.example.com", username=f"u{n}", password=f"secret{n}")
    for n in range(int(os.environ["TEST_ROWS"]))
]
SMTPAccount.objects.bulk_create(made, batch_size=500)
"""

#: Opens every secret, compares it with what it was made of, and prints how many have a key.
COMPARE = """
rows = list(SMTPAccount.objects.all())
assert len(rows) == int(os.environ["TEST_ROWS"])
assert all(row.password.reveal() == "secret" + row.slug[1:] for row in rows)
print(sum(row.password.token.key_id == os.environ["TEST_KEY_ID"] for row in rows))
"""

ROTATE_WHEN_TOLD = """
print("ready", flush=True)
sys.stdin.readline()
call_command("smtpkeys", "rotate", batch_size=int(os.environ["TEST_BATCH"]))
"""


def fill(site: Site, rows: int, key: str, key_to_count: str) -> None:
    """Make accounts whose secrets are sealed with `key`; COMPARE counts the other one."""
    counted = key_to_count.partition(":")[0]
    site.environment |= {"TEST_ROWS": str(rows), "TEST_KEY_ID": counted}
    site.run(MAKE, key)


def numbers(printed: str) -> list[int]:
    """What a run of `rotate` counted: resealed, current, changed meanwhile, unreadable."""
    line = next(line for line in printed.splitlines() if "smtpaccount.password:" in line)
    return [int(n.replace(",", "")) for n in re.findall(r"([\d,]+) (?:re|had|ch|do)", line)]


def rotate_twice_at_once(site: Site, sources: str, batch_size: int) -> list[list[int]]:
    """The numbers of two processes that rotate at the same time."""
    details = {"TEST_BATCH": str(batch_size)}
    with (
        site.start(ROTATE_WHEN_TOLD, sources, **details) as one,
        site.start(ROTATE_WHEN_TOLD, sources, **details) as two,
    ):
        for process in (one, two):
            assert process.hear() == "ready"
        for process in (one, two):
            process.say("go")
        return [numbers(process.rest()) for process in (one, two)]
