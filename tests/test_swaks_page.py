"""docs/swaks.md tells what smtptest says today; of swaks, what it said when the page was made."""

from __future__ import annotations

import pytest

from tests.servers.certificates import Certificates
from tests.swaks_faults import FAULTS, Fault, told
from tests.swaks_page import MARK, PAGE, section


def test_every_fault_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8").partition(MARK)[2]
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == [fault.title for fault in FAULTS]
    assert text.count("\nswaks, exit code") == text.count("\nsmtptest, exit code") == len(FAULTS)


@pytest.mark.django_db
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.title)
def test_smtptest_says_what_the_page_says(fault: Fault, certificates: Certificates) -> None:
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {fault.title}\n")[1].split("\n## ")[0]
    code, said = told(fault, certificates)
    (_title, told_code, *_block) = section(fault.title, None, (code, said))
    assert told_code in text
    # The words above are partly OpenSSL's own, which differ by version.
    cause_and_cure = said.split("\n\n", 1)[1]
    assert cause_and_cure in text
    assert "1. " in cause_and_cure
