"""What attackers try with stored accounts, and the tests in which it fails.

`docs/security.md` shows this table. `python -m tests.security.attacks_on_accounts` prints it, and
`test_accounts.py` holds it against the page and against the tests that exist.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    """who has something, what they try with it, and what comes of it. tests: file and names."""

    who: str
    tries: str
    outcome: str
    tests: tuple[tuple[str, tuple[str, ...]], ...]


def _attack(who: str, tries: str, outcome: str, **tests: str) -> Attack:
    """tests: file (`__` for `/`) -> names with blanks in between."""
    named = (
        (f"tests/{name.replace('__', '/')}.py", tuple(t.split())) for name, t in tests.items()
    )
    return Attack(who, tries, outcome, tuple(named))


DUMP, WRITE = "a dump", "write access"
VIEWER, EDITOR, KEEPER = "a viewer", "an editor", "an editor of secrets"
READER, WIRE, SERVER = "a reader of logs", "the network", "a server"
CODE = "another package"

#: The rows of the page about what attackers have, and who tries it here.
ROWS = {
    "a dump or backup of the database": DUMP,
    "write access to the database (SQL injection, a shared server)": WRITE,
    "a staff login that may view accounts": VIEWER,
    "a staff login that may change accounts": EDITOR,
    "a staff login with `use_internal_host`": KEEPER,
    "the log files, error mails, an error tracker": READER,
    "the network between site and server": WIRE,
    "the mail server, or a provider that was broken into": SERVER,
}
#: Rows that promise nothing that could be tried.
GRANTED = {
    "an old backup, and a key that leaked since",
    "the application server as another user",
    "the application server as the application's user, or code in its process",
    "the settings or the environment (a leaked `.env`)",
}

ATTACKS = [
    _attack(
        DUMP,
        "read passwords and client keys in it",
        "they are ciphertext",
        security__test_leaks="test_leaks_of_texts test_leaks_of_commands",
        secrets__test_fields="test_the_column_holds_a_token_and_the_attribute_a_secret",
    ),
    _attack(
        DUMP,
        "restore it in an environment with another key, and send",
        "no log-in is tried",
        security__test_accounts="test_a_dump_that_was_restored_elsewhere_sends_nothing",
    ),
    _attack(
        WRITE,
        "change the destination of a row by SQL, `update()`, `bulk_update()` or a fixture",
        "the secret does not open",
        secrets__test_bound="test_by_sql test_by_update test_by_bulk_update test_by_fixture "
        "test_by_save_which_never_seals_again test_each_part_of_the_destination_is_changed_here",
        security__test_application="test_a_password_does_not_follow_an_account_to_another_server",
        security__test_networks="test_an_account_moved_past_the_form_stays_outside",
    ),
    _attack(
        WRITE,
        "change the destination, and let an operator press test (`smtptest --account`)",
        "no log-in is tried",
        security__test_accounts="test_edit_the_host_and_press_test",
    ),
    _attack(
        WRITE,
        "change what is not bound, to lead the secret elsewhere by it",
        "it goes to its own server or nowhere",
        security__test_accounts="test_nothing_unbound_leads_the_password_elsewhere "
        "test_each_column_is_bound_or_known_not_to_be",
    ),
    _attack(
        WRITE,
        "exchange the provider of a row",
        "the row keeps its server; without a server the secret does not open",
        security__test_accounts="test_a_swapped_provider_leads_nowhere",
    ),
    _attack(
        WRITE,
        "copy a ciphertext into another row, or into another column",
        "it does not open",
        secrets__test_bound="test_a_token_copied_by_sql_does_not_open_in_another_row "
        "test_a_token_copied_by_update_does_not_open_in_another_row "
        "test_a_token_copied_to_another_column_does_not_open "
        "test_another_rows_secret_is_not_assigned",
    ),
    _attack(
        WRITE,
        "load a fixture's ciphertext into a row with another uuid",
        "it does not open",
        secrets__test_fields="test_a_fixture_does_not_fit_another_row",
    ),
    _attack(
        WRITE,
        "copy a row, and lead the copy elsewhere",
        "a copy has no secrets",
        secrets__test_bound="test_a_copy_has_a_new_uuid_and_no_secret test_copies_of_a_copy",
    ),
    _attack(
        WRITE,
        "plant a plaintext, by `update()`, an expression or a fixture",
        "it is refused and not quoted; by SQL, it is no secret",
        secrets__test_fields="test_update_takes_no_plaintext test_bulk_update_takes_no_plaintext "
        "test_a_fixture_with_plaintext_fails_without_quoting_it "
        "test_a_query_never_fails_on_a_damaged_row",
    ),
    _attack(
        WRITE,
        "lead an account whose password is in a vault elsewhere",
        "what the vault answers names its destination",
        test_account_code="test_a_password_of_the_vault_goes_nowhere_else",
    ),
    _attack(
        VIEWER,
        "read a secret on a page, in the history, an export, a completion or the page's source",
        "no page has one",
        security__test_leaks="test_leaks_of_the_admin",
        admin__test_permissions="test_who_may_only_view_changes_nothing "
        "test_the_history_page_tells_names_only test_the_completion_tells_names_only "
        "test_an_export_carries_no_plaintext test_a_pop_up_hands_out_no_field",
    ),
    _attack(
        VIEWER,
        "guess it letter by letter, by filters, searches or the order of the list",
        "the list filters by no secret",
        admin__test_permissions="test_the_list_is_no_oracle test_the_search_finds_no_secret",
        secrets__test_fields="test_lookups_are_refused",
    ),
    _attack(
        VIEWER,
        "read what a server inside the network said",
        "it needs `test_smtpaccount`",
        admin__test_permissions="test_the_server_s_words_need_the_permission_to_test",
        security__test_application="test_no_banner_is_shown_to_account_editors",
    ),
    _attack(
        EDITOR,
        "post fields that the form does not show: `password`, `password-clear`, "
        "`internal_host`, `uuid`, `default_slot`, `secret_changed_by`",
        "they are ignored",
        admin__test_permissions="test_without_the_permission_what_is_sent_all_the_same_is_ignored "
        "test_internal_hosts_need_their_permission test_an_account_is_added_without_a_secret",
        security__test_accounts="test_what_is_no_field_of_the_form_is_ignored",
    ),
    _attack(
        EDITOR,
        "lead an account with a secret elsewhere, by any field, the provider, the list, or "
        "as a copy",
        "that needs `change_secret_smtpaccount`",
        admin__test_permissions="test_without_the_permission_the_destination_stays "
        "test_a_secret_is_not_orphaned test_saving_as_new_copies_no_secret "
        "test_a_deleted_account_takes_its_secret_with_it",
    ),
    _attack(
        KEEPER,
        "keep the stored password and change where it goes",
        "the form asks for the password",
        admin__test_form="test_it_asks_for_the_password_and_says_why",
        secrets__test_fields="test_stars_are_refused_and_what_is_stored_stays",
    ),
    _attack(
        KEEPER,
        "paste a ciphertext, or the stars, as a password",
        "a ciphertext is only a text; stars are refused",
        admin__test_form="test_a_pasted_token_is_only_a_text",
        secrets__test_fields="test_a_pasted_token_is_plaintext test_stars_are_no_secret",
    ),
    _attack(
        KEEPER,
        "reach internal hosts, by a name, a proxy, or an account that may",
        "that needs `use_internal_host`",
        admin__test_permissions="test_a_granted_internal_host_is_not_exchanged_for_another "
        "test_an_internal_host_is_not_granted",
        security__test_networks="test_an_account_does_not_scan_this_site_s_network "
        "test_an_account_does_not_rebind_a_name "
        "test_an_account_does_not_reach_inside_by_a_proxy",
    ),
    _attack(
        READER,
        "find a secret in logs, error mails, error trackers, debug pages or SQL logs",
        "none holds one, in any form",
        security__test_leaks="test_leaks_of_sends test_leaks_of_smtptest "
        "test_leaks_of_pages_that_fail",
        security__test_frames="test_no_frame_shows_a_secret",
        security__test_secrecy="test_secrets_in_logs",
    ),
    _attack(
        WIRE,
        "take TLS away, or show another certificate",
        "nothing is sent",
        security__test_session="test_starttls_stripping test_tls_is_verified_for_accounts",
        security__test_credentials="test_auth_data_in_clear",
    ),
    _attack(
        SERVER,
        "make a client that knows SCRAM say its password",
        "there is no way down",
        security__test_credentials="test_auth_downgrade",
    ),
    _attack(
        CODE,
        "show, export or import a secret: REST framework, import-export, histories",
        "they see stars, and stars are refused",
        interop__test_data_packages="test_rest_framework_reads_stars "
        "test_rest_framework_gets_no_stars_back "
        "test_rest_framework_opens_nothing_after_a_changed_host "
        "test_import_export_exports_stars test_import_export_refuses_stars_and_loses_nothing "
        "test_import_export_makes_no_use_of_a_ciphertext test_simple_history_keeps_tokens "
        "test_reversion_restores_what_opens_only_there",
    ),
]


def table() -> str:
    """The page's table, in Markdown."""
    rows = [f"| {one.who} | {one.tries} | {one.outcome} |" for one in ATTACKS]
    return "\n".join(["| with | somebody tries to | but |", "| --- | --- | --- |", *rows])


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
