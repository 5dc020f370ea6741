"""Every security duty of a mail client, and the tests that attack it.

The duties come from the advisories about other mail clients, libraries and servers. Each is
attacked end to end: the real backend, or the engine's `connect()`, against servers on real
sockets. `test_table.py` holds this list against the tests that exist: every name must be a test
here, and every test must stand in it.

TLS that is required is there, or nothing is sent
    against: STARTTLS stripping: CVE-2016-0772
    test_starttls_stripping
    test_starttls_stripping_after_the_220

nothing that came before TLS counts after it
    against: response injection: CVE-2021-38371, CVE-2026-41319, GHSA-vxj7-4xrp-5vr4
    test_response_injection_before_tls
    test_capabilities_from_before_tls_are_forgotten
    test_capabilities_that_tls_takes_away_are_gone

a connection is usable when TLS and AUTH are done, not before
    against: CVE-2026-7666
    test_a_half_open_connection_is_not_reused

no argument holds a line end or another control character
    against: CVE-2015-8476, GHSA-v3q9-hj7j-63hq, GHSA-vvjj-xcjg-gr5g, CVE-2026-30227
    test_crlf_in_command_arguments
    test_crlf_in_what_travels_encoded
    test_crlf_in_what_a_proxy_is_told
    test_crlf_in_a_proxy_s_url

characters are encoded strictly
    against: CVE-2025-7962
    test_wide_characters_are_not_narrowed_to_line_ends
    test_wide_characters_in_header_and_body
    test_wide_characters_where_ascii_is_wanted

no address becomes a parameter
    against: CVE-2025-59937
    test_parameters_smuggled_through_addresses
    test_parameters_smuggled_through_look_alikes
    test_parameters_smuggled_through_options
    test_parameters_inside_quotes_stay_there

a quoted local part is never parted again, and read in bounded time
    against: CVE-2025-13033, CVE-2025-14874
    test_quoted_local_parts_misrouted
    test_quoted_local_parts_are_read_in_bounded_time

content has CRLF only and its dots doubled
    against: SMTP smuggling: CVE-2023-51764 to 51766, RUSTSEC-2021-0069
    test_smtp_smuggling
    test_smtp_smuggling_past_the_engine

a chunk is as long as it says, and eager only for servers that discard
    against: RFC 3030; emersion/go-smtp#315
    test_chunk_desync
    test_chunk_desync_of_a_source_that_breaks_off
    test_chunk_desync_of_a_server_that_runs_chunks_as_commands
    test_chunk_answered_before_it_is_complete
    test_chunk_desync_by_the_server_s_replies
    test_chunk_desync_of_a_message_that_the_server_breaks

the strongest mechanism, and no weaker one after it
    against: AUTH downgrade: clients that go on after 535
    test_auth_downgrade
    test_auth_downgrade_by_taking_the_offer_of_binding_away
    test_auth_downgrade_of_binding

one attempt with a credential that is refused
    against: locked mailboxes
    test_lockout
    test_lockout_does_not_follow_from_trouble

no secret in clear to another machine
    against: clients that allow PLAIN without TLS
    test_auth_data_in_clear
    test_auth_data_in_clear_after_tls_broke_off

SCRAM's checks: nonce, rounds, signature
    against: RFC 5802
    test_scram_checks
    test_scram_checks_the_server
    test_scram_checks_success_at_once

a user name stays a user name
    against: separators of SASL messages
    test_names_with_separators

the server's words about a token are acknowledged, and shown with care
    against: PHPMailer#890
    test_xoauth2_error_challenge

certificates are verified, both ways of TLS
    against: clients that verify on request only
    test_tls_is_verified
    test_tls_is_verified_for_accounts

no form of a secret in errors, frames, logs, transcripts
    against: debug output that shows everything
    test_secrets_in_logs
    test_secrets_in_logs_would_be_found
    test_secrets_in_logs_of_the_backend_itself

memory and time are bounded
    against: GHSA-4ffr-jq9g-5ffx; servers that flood, drip, or never end
    test_hostile_server_with_the_longest_replies
    test_hostile_server_with_longer_replies
    test_hostile_server_without_an_end
    test_hostile_server_that_drips
    test_hostile_server_in_its_offers
    test_hostile_server_with_endless_challenges
    test_hostile_server_with_421_for_ever

absurd limits and refusals are no endless rounds
    against: RFC 9422; 452 for ever
    test_hostile_server_with_absurd_limits
    test_hostile_server_with_the_smallest_limits
    test_hostile_server_with_452_for_ever
    test_hostile_server_with_452_for_everybody

in LMTP no recipient gets another one's verdict
    against: RFC 2033
    test_hostile_server_with_more_verdicts_than_recipients
    test_hostile_server_with_fewer_verdicts_than_recipients
    test_hostile_server_that_leaves_amid_its_verdicts
    test_hostile_server_with_one_verdict_for_all

no renegotiation, no reply before its command
    against: CVE-2009-3555
    test_renegotiation_and_early_replies
    test_renegotiation_is_off

no shell
    against: CVE-2016-10033, CVE-2016-10045, RUSTSEC-2020-0069
    test_no_shell
    test_no_shell_would_be_missed

nothing is sent again in doubt, and a message keeps its Message-ID
    against: mail that arrives twice
    test_replay_after_ambiguity
    test_replay_after_a_cut_before_the_end

account editors learn nothing from the servers they name
    against: SSRF
    test_no_banner_is_shown_to_account_editors
    test_hosts_of_accounts_are_validated
    test_a_password_does_not_follow_an_account_to_another_server

accounts reach only the networks that the site allows
    against: SSRF
    test_an_account_does_not_scan_this_site_s_network
    test_an_account_does_not_rebind_a_name
    test_an_account_does_not_reach_inside_by_a_proxy
    test_an_account_moved_past_the_form_stays_outside

no secret of an account comes out, whatever is done with it
    against: passwords in logs, pages, fixtures and error mails
    test_leaks_of_the_admin
    test_leaks_of_pages_that_fail
    test_leaks_of_sends
    test_leaks_of_smtptest
    test_leaks_of_commands
    test_leaks_of_texts
    test_leaks_of_settings
    test_leaks_would_be_found
    test_leaks_of_each_secret_would_be_found

no frame of an error shows a secret
    against: error trackers, which collect local variables
    test_no_frame_shows_a_secret
    test_a_secret_in_a_frame_would_be_found

who can write or restore the database gets no secret sent elsewhere
    against: SQL injection, dumps, tampered forms (`attacks_on_accounts.py`)
    test_each_column_is_bound_or_known_not_to_be
    test_nothing_unbound_leads_the_password_elsewhere
    test_edit_the_host_and_press_test
    test_a_dump_that_was_restored_elsewhere_sends_nothing
    test_a_swapped_provider_leads_nowhere
    test_an_older_ciphertext_of_the_same_row_opens
    test_what_is_no_field_of_the_form_is_ignored
    test_the_attacks_name_tests_that_exist
    test_the_page_tells_the_attacks
    test_everybody_on_the_page_attacks
    test_the_page_names_what_is_bound_and_what_is_not
"""
