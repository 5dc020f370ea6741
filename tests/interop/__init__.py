"""Against the servers of other people, on loopback.

Postfix with Dovecot runs before the tests (`postfix.py`); the others are started by them
(`exim.py`, `dovecot.py`, `nodemailer.py`, `postgresql.py`) and shared by a session.
`.ci/interop_servers FOLDER` puts them on a Debian machine. A test whose server is absent is
skipped, in CI it fails.

What each announces; test_offers.py holds this table against the running servers. "TLS" is the
last EHLO inside TLS.

| | Postfix submission | Exim TLS | Dovecot submission TLS | Dovecot LMTP | smtp-server TLS |
| --- | --- | --- | --- | --- | --- |
| 8BITMIME | yes | yes | yes | yes | yes |
| BINARYMIME | | | | | |
| CHUNKING | yes | yes | yes | yes | |
| DSN | yes | yes | | | yes |
| ENHANCEDSTATUSCODES | yes | | yes | yes | yes |
| LIMITS | | | | | |
| PIPELINING | yes | yes | yes | yes | yes |
| PRDR | | yes | | | |
| REQUIRETLS | | | | | yes |
| SIZE | yes | yes | yes | | yes |
| SMTPUTF8 | yes | yes | | | yes |
| CRAM-MD5 | yes | yes | yes | | yes |
| DIGEST-MD5 | yes | | yes | | |
| EXTERNAL | | yes | | | |
| LOGIN | yes | yes | yes | | yes |
| OAUTHBEARER | yes | | | | |
| PLAIN | yes | yes | yes | | yes |
| SCRAM-SHA-1 | yes | yes | yes | | |
| SCRAM-SHA-256 | yes | yes | yes | | |
| SCRAM-SHA-512 | | yes | | | |
| XOAUTH2 | yes | | | | yes |

EXTERNAL is there for clients with a certificate. smtp-server speaks LMTP, too. BINARYMIME, LIMITS
and SCRAM with -PLUS are announced by no mail server that Debian 12, npm or PyPI has;
SCRAM-SHA-256-PLUS is judged by PostgreSQL.
"""
