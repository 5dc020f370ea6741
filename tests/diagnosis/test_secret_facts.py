"""What is wrong with a secret is told, and the secret is not."""

from __future__ import annotations

import pytest

from django_smtpauth.diagnosis.explain import facts_about_secret

SES = "amazon-ses-eu-west-1"


@pytest.mark.parametrize(
    ("secret", "preset", "rules"),
    [
        ("", "", ["secret.empty"]),
        ("s3cr3t-pass\n", "", ["secret.white-space"]),
        (" s3cr3t-pass", "", ["secret.white-space"]),
        ("changeme", "", ["secret.placeholder"]),
        ("<your-password>", "", ["secret.placeholder"]),
        ("********", "", ["secret.placeholder"]),
        ("'s3cr3t-pass'", "", ["secret.quotes"]),
        ("AKIA" + "Q7" * 8, "", ["secret.access-key"]),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SES, ["secret.access-key"]),
        ("abcd efgh ijkl mnop", "gmail", ["secret.spaces"]),
        ("abcd efgh ijkl mnop ", "gmail", ["secret.white-space", "secret.spaces"]),
        # What is as it should be.
        ("s3cr3t-pass", "", []),
        ("pass word with spaces", "", []),
        ("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "sendgrid", []),
        ("BExample" * 5 + "abcd", SES, []),
        ("it's", "", []),
    ],
)
def test_what_is_seen(secret: str, preset: str, rules: list[str]) -> None:
    assert [finding.rule for finding in facts_about_secret(secret, preset=preset)] == rules


def test_the_secret_is_in_no_finding_and_the_field_is() -> None:
    (finding,) = facts_about_secret("'s3cr3t-pass'", account="club")
    told = finding.to_dict()
    assert "s3cr3t" not in repr(told)
    assert "s3cr3t" not in repr(finding)
    assert finding.field == finding.option == "password"
    assert '"password" of the account club' in str(finding.steps[0])
