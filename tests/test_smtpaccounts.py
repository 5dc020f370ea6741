"""`manage.py smtpaccounts`: what it writes, what it refuses, and what it shows."""

import json

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from django_smtpauth.management.commands._smtpaccounts_pages import LIST_HEAD
from django_smtpauth.management.rendering import printable, table, width
from django_smtpauth.models import SECRETS, SMTPAccount, SMTPAccountHealth
from django_smtpauth.provisioning.values import FIELDS
from django_smtpauth.secrets.keyring import generate_key
from django_smtpauth.secrets.secret import REDACTED
from tests.smtpaccounts_fixtures import (  # noqa: F401
    SECRET,
    _keys,
    _refused,
    _run,
    _terminal,
    create,
    get,
)

pytestmark = pytest.mark.django_db


def state_of(row):
    return {name: getattr(row, name) for name in ("changed_at", "secret_changed_at")}


# set


def test_set_creates_and_changes_by_name(run):
    words = ["host=smtp.example.com", "port=465", "security=implicit_tls", "is_default=yes"]
    assert run("set", "billing", *words, "timeout=2.5", "require_tls=") == "billing: created\n"
    account = get()
    assert (account.port, account.security, account.timeout) == (465, "implicit_tls", 2.5)
    assert (account.is_default, account.require_tls, account.verify) == (True, None, True)
    assert account.created_by.startswith("manage.py smtpaccounts, ")
    assert run("set", "billing", "label=Invoices", "port=465") == "billing: changed (label)\n"
    assert get().label == "Invoices"


LINES = [
    {"slug": "billing", "host": "SMTP.example.com", "username": "club", "password": SECRET},
    {"slug": "news", "host": "smtp.example.com", "is_default": True, "auth_mechanisms": "plain"},
    {"slug": "news", "scope": "b", "host": "::1", "may_send_as": " example.org\r\na@example.com"},
]


def test_the_same_lines_write_nothing_again(run):
    assert run("set", "-", stdin=LINES).splitlines() == [
        "billing: created",
        "news: created",
        "news: created",
    ]
    before = [state_of(row) for row in SMTPAccount.objects.all()]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        out = run("set", "--stdin", stdin=LINES)
    assert out.splitlines() == ["billing: unchanged", "news: unchanged", "news: unchanged"]
    words = {query["sql"].split()[0] for query in queries}
    assert words <= {"SELECT", "SAVEPOINT", "RELEASE", "BEGIN", "COMMIT"}
    assert [state_of(row) for row in SMTPAccount.objects.all()] == before
    assert get().password.reveal() == SECRET


def test_one_wrong_line_stops_all_of_them(run, refused):
    lines = [LINES[0], {"slug": "x", "host": "a b", "port": 99999}, {"slug": "y", "color": 1}]
    said = refused("set", "-", stdin=lines)
    assert said.splitlines()[0] == "Nothing was written, because of these lines:"
    assert "line 2, x, host: A host name has no spaces." in said
    assert "line 2, x, port: " in said
    assert "line 3, y, color: there is no such field." in said
    assert not SMTPAccount.objects.exists()


def test_keep_going_writes_the_lines_that_are_right(run, refused, capsys):
    said = refused("set", "-", "--keep-going", stdin=[{"slug": "x", "host": "a b"}, LINES[0]])
    assert "line 1, x, host: " in said
    assert [row.slug for row in SMTPAccount.objects.all()] == ["billing"]
    assert capsys.readouterr().out == "billing: created\n"


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"slug": "x", "host": "h", "port": "587"}', "port: must be a whole number, not text"),
        (b'{"slug": "x", "host": "h", "port": true}', "port: must be a whole number"),
        (b'{"slug": "x", "host": "h", "verify": 1}', "verify: must be true or false"),
        (b'{"slug": "x", "host": "h", "verify": null}', "verify: must be true or false, not null"),
        (b'{"slug": "x", "host": {"file": "f"}}', "host: must be text, not an object"),
        (b'{"slug": "x", "host": "h", "label": "a\\nb"}', "label: must have no line ends"),
        (b'{"slug": "x", "host": "h", "notes": "a\\u0000b"}', "notes: must have no control"),
        (b'{"slug": "x", "host": "h", "notes": "\\ud800"}', "notes: has half a surrogate"),
        (b'{"slug": "x", "host": "h", "timeout": NaN}', "NaN or Infinity"),
        (b'{"slug": "x", "host": "h", "timeout": 1e999}', "timeout: must be a finite number"),
        (b'{"slug": "x", "host": "h", "host": "i"}', "names a field twice"),
        (b'{"slug": "x", "host": "h", "uuid": "1"}', "uuid: there is no such field"),
        (b'{"slug": "x", "host": "h", "changed_by": "me"}', "changed_by: there is no such"),
        (b'{"slug": "x", "host": "h", "default_slot": "1"}', "default_slot: there is no such"),
        (b'{"slug": "x", "host": "h", "pasword": "Geheim-42-Wort"}', "meant? password"),
        (b'{"slug": "x", "host": "h", "security": "tls"}', "security: Choose implicit_tls"),
        (b'{"slug": "x y", "host": "h"}', "slug: "),
        (b'{"slug": "x"}', "host: "),
        (b'{"host": "h"}', "slug: must be the short name"),
        (b'{"slug": "x", "scope": 1}', "scope: must be text"),
        (b'["x"]', "must be one object"),
        (b'{"slug": "x", "password": "Geheim-42-Wort"', "is not JSON: Expecting"),
        (b'{"slug": "\xff"}', "is not text in UTF-8"),
        (b'{"port": 1' + b"0" * 5000 + b"}", "is not JSON that can be read"),
        (b"[" * 200_000, "is not JSON that can be read"),
        (b'{"slug": "' + b"x" * 2_000_000 + b'"}', "has more than 1048576 octets"),
    ],
)
def test_a_line_that_is_wrong_is_named(refused, line, fault):
    said = refused("set", "-", stdin=b"\n" + line + b"\n")
    assert "line 2" in said
    assert fault in said
    assert len(said) < 600
    assert not SMTPAccount.objects.exists()


def test_an_account_stands_in_one_line_only(refused):
    said = refused("set", "-", stdin=[LINES[0], LINES[0]])
    assert "line 2, billing: stands in line 1 already." in said


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["password=Geheim-42-Wort"], "a secret does not stand on the command line"),
        (["client_key=Geheim-42-Wort"], "Use --client-key-stdin, --client-key-file FILE or"),
        (["Geheim-42-Wort"], "write FIELD=VALUE"),
        (["slug=x"], "says which account is meant"),
        (["scope=x"], "--scope"),
        (["port=x"], "port: write a number"),
        (["timeout=inf"], "timeout: "),
        (["enabled=perhaps"], "enabled: write true or false"),
        (["label=a", "label=b"], "label: is given twice"),
        (["client_certificate=-----BEGIN PRIVATE KEY-----"], "contains a private key"),
        (["proxy=socks5://me:Geheim-42-Wort@p.example.com:1080"], "proxy: User name and password"),
    ],
)
def test_a_word_that_is_wrong_is_named(refused, words, fault):
    assert fault in refused("set", "billing", "host=smtp.example.com", *words)
    assert not SMTPAccount.objects.exists()


def test_switching_verification_off_is_warned_of(run):
    run("set", "billing", "host=smtp.example.com")
    assert run.err == ""
    assert "not verified" not in run("list") + run("show", "billing")
    run("set", "billing", "verify=false")
    assert "billing: the certificate is not verified" in run.err
    run("set", "-", stdin=[{"slug": "lan", "host": "mail.example.org", "verify": False}])
    assert "lan: the certificate is not verified" in run.err
    assert run("list").count("starttls, certificate not verified") == 2
    assert "false: certificate not verified" in run("show", "lan")
    run("set", "billing", "verify=true")
    assert run.err == ""
    run("move", "billing", "verify=false", "--dry-run")
    assert "billing: the certificate is not verified" in run.err


def test_every_editable_field_can_be_set():
    editable = {f.name for f in SMTPAccount._meta.concrete_fields if f.editable}
    assert editable - FIELDS.keys() == {"id", "slug", "scope"}
    assert FIELDS.keys() - editable == {"is_default", "select_by_from"}
    assert SECRETS == ("password", "client_key")


def test_the_default_is_handed_over_in_any_order_of_lines(run, refused):
    create("old", is_default=True)
    said = refused("set", "new", "host=smtp.example.com", "is_default=true")
    assert "is_default: the account 'old' has this already" in said
    lines = [
        {"slug": "new", "host": "smtp.example.com", "is_default": True},
        {"slug": "old", "is_default": False},
    ]
    assert run("set", "-", stdin=lines) == "new: created\nold: changed (is_default)\n"
    assert SMTPAccount.objects.default().slug == "new"


def test_options_stand_anywhere(run):
    words = ["--scope", "b", "host=smtp.example.com", "-v", "2", "label=x", "--json", "port=25"]
    assert json.loads(run("set", "billing", *words))["result"] == "created"
    run("move", "--scope", "b", "billing", "--noinput", "port=26", "-v", "1", "verify=no")
    assert (get(scope="b").label, get(scope="b").port) == ("x", 26)
    run("set", "--stdin", "--scope", "c", stdin=[{"slug": "x", "host": "smtp.example.com"}])
    assert get("x", "c")


def test_a_fault_that_was_there_before_is_told_and_not_mended(run, refused):
    create(from_email="a@example.com")
    SMTPAccount.objects.update(host="a b")
    assert "billing, host: " in refused("set", "billing", "label=x")
    assert run("disable", "billing") == "billing: changed (enabled)\n"


def test_scopes_are_apart(run, refused, settings):
    settings.SMTPAUTH = {**settings.SMTPAUTH, "SCOPE": lambda: "north"}
    run("set", "billing", "host=smtp.example.com")
    run("set", "billing", "host=smtp.example.org", "--scope", "")
    assert get(scope="north").host == "smtp.example.com"
    assert get(scope="").host == "smtp.example.org"
    said = refused("enable", "billing", "--scope", "south")
    assert "no such account in the scope 'south'. Known are: none." in said
    assert "Scopes: '', 'north'." in said
    run("list", "--scope", "south")
    assert "There are some in: '', 'north' (--scope)." in run.err


# Secrets


def test_a_secret_comes_from_a_stream_a_file_or_the_environment(run, tmp_path, monkeypatch):
    path = tmp_path / "password"
    create(password="")
    monkeypatch.setenv("BILLING_PASSWORD", "from env")
    for octets, text in [(b"a\n", "a"), (b"b\r\n", "b"), (b"c\n\n", None), (b" d ", " d ")]:
        path.write_bytes(octets)
        if text is None:
            with pytest.raises(CommandError, match="must have no line ends"):
                run("set", "billing", "--password-file", str(path))
            continue
        assert "(password)" in run("set", "billing", "--password-file", str(path))
        assert get().password.reveal() == text
        assert run("set-password", "billing", "--password-stdin", stdin=octets).endswith(
            "unchanged\n"
        )
    run("set-password", "billing", "--password-env", "BILLING_PASSWORD")
    assert get().password.reveal() == "from env"
    lines = [{"slug": "billing", "password": {"file": str(path)}}]
    assert run("set", "-", stdin=lines) == "billing: changed (password)\n"
    lines = [{"slug": "billing", "password": {"env": "BILLING_PASSWORD"}}]
    assert run("set", "-", stdin=lines) == "billing: changed (password)\n"
    assert run("set", "-", stdin=[{"slug": "billing", "password": None}]).endswith("(password)\n")
    assert get().password is None
    assert get().secret_changed_by == get().changed_by != ""


@pytest.mark.parametrize(
    ("octets", "fault"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (REDACTED.encode(), "holds what is shown in place of a secret"),
        (b"\xff\xfe", "is not text"),
        (b"a\x00b", "must have no line ends and control"),
        (b"x" * 70_000, "has more than 65536 characters"),
    ],
)
def test_what_is_no_secret_is_refused(refused, tmp_path, octets, fault):
    create()
    path = tmp_path / "password"
    path.write_bytes(octets)
    assert fault in refused("set-password", "billing", "--password-stdin", stdin=octets)
    assert f"{path}" in refused("set", "billing", "--password-file", str(path))
    assert fault in refused(
        "set", "-", stdin=[{"slug": "billing", "password": {"file": str(path)}}]
    )
    assert get().password.reveal() == SECRET


@pytest.mark.parametrize(
    "value",
    [1, [], {}, {"env": 1}, {"vault": "x"}, {"env": "A", "file": "b"}, {"env": "ABSENT_1"}],
)
def test_a_reference_to_nothing_is_refused(refused, value):
    said = refused("set", "-", stdin=[{"slug": "x", "host": "h", "password": value}])
    assert "line 1, x, password: " in said


def test_a_file_that_is_not_there_is_named(refused, tmp_path):
    create()
    assert "can't be read (No such file" in refused(
        "set-password", "billing", "--password-file", str(tmp_path / "absent")
    )


def test_a_terminal_is_asked_twice(run, refused, terminal):
    create(password="")
    terminal(SECRET, SECRET)
    assert run("set-password", "billing") == "billing: changed (password)\n"
    terminal(SECRET, "another")
    assert "the two are not the same" in refused("set-password", "billing")
    assert get().password.reveal() == SECRET


@pytest.mark.parametrize("end", [KeyboardInterrupt, EOFError])
def test_who_leaves_the_question_leaves_no_trace(refused, terminal, monkeypatch, end):
    create(password="")
    answers = terminal(SECRET)

    def ask(_):
        if answers:
            return answers.pop()
        raise end

    monkeypatch.setattr("getpass.getpass", ask)
    assert refused("set-password", "billing") == "Interrupted. Nothing changed."
    assert get().password is None


def test_without_a_terminal_nobody_is_asked(refused):
    create()
    assert "--password-stdin" in refused("set-password", "billing")
    assert "--noinput" in refused("delete", "billing")
    assert "--noinput" in refused("move", "billing", "host=smtp.example.org")


def test_a_client_key_goes_the_same_way(run, refused, certificates, tmp_path):
    chain, key = certificates.client_file, certificates.client_key_file
    with open(chain) as file:
        certificate = file.read()
    words = ["authentication=certificate", f"client_certificate={certificate}", "host=localhost"]
    assert "client_key: A certificate needs its key." in refused("set", "billing", *words)
    assert "client_key: it must be PEM" in refused(
        "set", "billing", *words, "--client-key-stdin", stdin=SECRET.encode()
    )
    assert run("set", "billing", *words, "--client-key-file", key) == "billing: created\n"
    assert run("set", "billing", *words, "--client-key-file", key) == "billing: unchanged\n"
    assert "BEGIN" in get().client_key.reveal()
    assert "Standard input can hold one secret" in refused(
        "set", "billing", "--client-key-stdin", "--password-stdin"
    )


# The destination


@pytest.mark.parametrize("word", ["host=evil.example.com", "port=25", "verify=no", "username=x"])
def test_a_stored_secret_is_not_sent_elsewhere(run, refused, word):
    create()
    said = refused("set", "billing", word)
    assert "billing, password: this secret is stored for smtp.example.com:587" in said
    assert f"manage.py smtpaccounts move billing {word.partition('=')[0]}=" in said
    account = get()
    assert account.password.reveal() == SECRET
    with_secret = run("set", "billing", word, "--password-stdin", stdin=SECRET.encode())
    assert with_secret == f"billing: changed ({word.partition('=')[0]}, password)\n"
    assert get().password.reveal() == SECRET


def test_a_row_that_was_redirected_past_us_can_be_led_back(run):
    create()
    SMTPAccount.objects.update(host="evil.example.com")
    assert run("set", "billing", "host=smtp.example.com") == "billing: changed (host)\n"
    assert get().password.reveal() == SECRET


def test_move_seals_for_the_new_destination(run, certificates):
    account = create()
    out = run("move", "billing", "host=smtp.example.org", "port=465", "--yes")
    assert "smtp.example.com  ->  smtp.example.org" in out
    assert "587  ->  465" in out
    assert out.endswith("billing: changed (host, port, password)\n")
    moved = get()
    assert moved.password.reveal() == SECRET
    assert moved.password != account.password
    assert "unchanged" in run("move", "billing", "port=465", "--noinput")


def test_a_dry_move_writes_nothing(run):
    create()
    before = state_of(get())
    planned = json.loads(run("move", "billing", "host=smtp.example.org", "--dry-run", "--json"))
    assert planned["changes"] == {"host": {"old": "smtp.example.com", "new": "smtp.example.org"}}
    assert planned["secrets"] == ["password"]
    assert "dry run" in run("move", "billing", "host=smtp.example.org", "--dry-run")
    assert (get().host, state_of(get())) == ("smtp.example.com", before)


def test_move_asks(run, refused, terminal):
    create()
    terminal("no")
    assert refused("move", "billing", "port=465") == "Nothing was changed."
    assert get().port == 587
    terminal("yes")
    assert "changed" in run("move", "billing", "port=465")


def test_an_account_that_changed_while_move_asked_stays(refused, terminal, monkeypatch):
    create()
    terminal()

    def answer(_):
        SMTPAccount.objects.update(host="other.example.com")
        account = get()
        account.password = SECRET
        account.save()
        return "yes"

    monkeypatch.setattr("builtins.input", answer)
    assert "somebody else changed this account" in refused("move", "billing", "port=465")
    assert (get().host, get().port) == ("other.example.com", 587)


@pytest.mark.parametrize("spoil", ["redirected", "key"])
def test_a_secret_that_does_not_open_is_not_moved(refused, settings, spoil):
    create()
    if spoil == "redirected":
        SMTPAccount.objects.update(host="evil.example.com")
    else:
        settings.SMTPAUTH = {"KEYS": [generate_key()]}
    said = refused("move", "billing", "port=465", "--noinput")
    assert "what does not open is not moved" in said
    assert get().port == 587


def test_move_changes_the_destination_only(refused):
    create()
    said = refused("move", "billing", "label=x", "--noinput")
    assert "label: is no part of the destination: use `set`" in said
    assert "password" in refused("move", "billing", "password=Geheim-42-Wort")
    assert "host: " in refused("move", "billing", "host=a b", "--noinput")


def test_ctrl_c_at_a_question_changes_nothing(refused, terminal, monkeypatch):
    create()
    terminal()

    def interrupt(_):
        raise KeyboardInterrupt

    monkeypatch.setattr("builtins.input", interrupt)
    assert refused("move", "billing", "port=465") == "Interrupted. Nothing changed."
    assert get().port == 587


# Switching, deleting


def test_several_accounts_at_once_or_none(run, refused, terminal):
    create("a")
    create("b", enabled=False)
    assert run("disable", "a", "b") == "a: changed (enabled)\nb: unchanged\n"
    assert get("a").changed_by.startswith("manage.py smtpaccounts")
    assert "nope: there is no such account. Known are: a, b." in refused("enable", "a", "nope")
    assert not get("a").enabled
    assert "nope" in refused("delete", "a", "nope", "--noinput")
    terminal("no")
    assert refused("delete", "a") == "Nothing was changed."
    assert run("delete", "a", "b", "--noinput", "--json").count('"deleted"') == 2
    assert not SMTPAccount.objects.exists()


# Showing


def test_list_and_show_tell_the_state_of_secrets_and_mail(run):
    account = create(label="お知らせ", is_default=True)
    create("news", username="", password="", enabled=False)
    create("old")
    SMTPAccount.objects.filter(slug="old").update(host="evil.example.com")
    SMTPAccountHealth.objects.create(
        account=account,
        last_failure_at=timezone.now(),
        failures=3,
        failure_stage="AUTH",
        failure_code=535,
        failure_status="5.7.8",
        failure_text="Wrong",
    )
    head, *rows = run("list").splitlines()
    assert head.split() == LIST_HEAD
    assert "お知らせ" in rows[0]
    assert "enabled, default" in rows[0]
    assert rows[0].endswith("stored      failing since 3: AUTH")
    assert "disabled" in rows[1]
    assert "not set" in rows[1]
    assert "unreadable" in rows[2]
    out = run("show", "billing")
    assert "password                stored for smtp.example.com:587" in out
    assert "535 5.7.8 Wrong" in out
    out = run("show", "old")
    assert "unreadable: The secret does not open: it was stored for smtp.example.com" in out


def test_list_asks_once_however_many_there_are(run):
    for slug in "abc":
        create(slug)
    with CaptureQueriesContext(connection) as queries:
        run("list")
    assert len(queries) == 1


def test_fields_in_json_are_lines_for_set(run):
    create(label="Rechnung", may_send_as="example.org\nexample.net", timeout=3)
    shown = json.loads(run("show", "billing", "--json"))
    assert shown["secrets"]["password"]["state"] == "stored"
    assert shown["health"] is None
    assert json.loads(run("list", "--json")) == shown
    assert run("set", "-", stdin=[shown["fields"]]) == "billing: unchanged\n"
    SMTPAccount.objects.all().delete()
    assert run("set", "-", stdin=[shown["fields"]]) == "billing: created\n"


def test_reports_in_json_and_silence(run):
    assert run("set", "-", "-v", "0", stdin=LINES) == ""
    out = run("set", "billing", "label=x", "--json")
    fields = {"slug": "billing", "scope": "", "result": "changed", "fields": ["label"]}
    assert json.loads(out) == fields
    call_command("smtpaccounts", "disable", "billing", verbosity=0)
    assert "\x1b" not in run("list", "--json", "--force-color")


def test_nothing_that_a_terminal_obeys_is_printed(run):
    create(label="\x1b[31mred\r\n")
    assert "\\x1b[31mred\\r\\n" in run("list")
    assert "\x1b" not in run("show", "billing")


@pytest.mark.parametrize("columns", [40, 60, 80, 250])
def test_a_table_fits_its_terminal(columns):
    rows = [["b", "お知らせ配信アカウント" * 3, "xe\u0301" * 60], ["c", "", "x" * 60]]
    lines = table(["A", "LABEL", "TEXT"], rows, columns)
    assert max(map(width, lines)) <= columns
    starts = [width(line[: line.index(c)]) for line, c in zip(lines, "Txx", strict=True)]
    assert len(set(starts)) == 1
    without = table(["A", "LABEL", "TEXT"], rows, columns, ["LABEL"])
    assert ("LABEL" in without[0]) == (columns == 250)


def test_what_a_terminal_cant_show_is_escaped():
    assert printable("お\x9bX\u202e", "ascii") == "\\u304a\\x9bX\\u202e"


def test_a_database_without_the_table_is_explained(run, monkeypatch):
    monkeypatch.setattr(SMTPAccount._meta, "db_table", "nowhere")
    with pytest.raises(CommandError, match=r"Has `manage.py migrate` run"):
        run("list")


def test_without_a_key_nothing_is_stored(refused, settings):
    settings.SMTPAUTH = {}
    assert "smtpkeys generate" in refused("set", "-", stdin=LINES)
    assert not SMTPAccount.objects.exists()
