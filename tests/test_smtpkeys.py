import stat

import pytest
from django.core.management import CommandError, call_command, execute_from_command_line

from django_smtpauth.secrets.keyring import get_sealer


def test_generate_prints_a_key_and_the_line_to_paste(capsys, settings):
    call_command("smtpkeys", "generate")
    printed = capsys.readouterr()
    key = printed.out.strip()
    assert 'SMTPAUTH = {"KEYS": ["env:SMTPAUTH_KEYS"]}' in printed.err
    assert key not in printed.err
    settings.SMTPAUTH = {"KEYS": [key]}
    assert get_sealer().id == key.partition(":")[0]


def test_output_writes_a_file_that_only_its_owner_reads(capsys, settings, tmp_path):
    path = tmp_path / "keys"
    call_command("smtpkeys", "generate", output=path)
    printed = capsys.readouterr()
    key = path.read_text().strip()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key not in printed.out + printed.err
    assert f'SMTPAUTH = {{"KEYS": ["file:{path}"]}}' in printed.err
    settings.SMTPAUTH = {"KEYS": [f"file:{path}"]}
    assert get_sealer().id == key.partition(":")[0]


def test_a_relative_output_is_printed_in_full(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    call_command("smtpkeys", "generate", "--output", "keys")
    assert f'"file:{tmp_path}/keys"' in capsys.readouterr().err


def test_no_file_is_overwritten(tmp_path):
    path = tmp_path / "keys"
    path.write_text("precious")
    with pytest.raises(CommandError, match="exists"):
        call_command("smtpkeys", "generate", output=path)
    assert path.read_text() == "precious"


def test_a_place_that_cant_be_written_is_named(tmp_path):
    with pytest.raises(CommandError, match="absent"):
        call_command("smtpkeys", "generate", output=tmp_path / "absent" / "keys")


def test_it_runs_with_broken_settings(capsys, settings):
    settings.SMTPAUTH = {"KEYS": ["env:SMTPAUTH_ABSENT"]}
    execute_from_command_line(["manage.py", "smtpkeys", "generate"])
    assert ":" in capsys.readouterr().out
