"""The addresses of a Django message, made fit for the envelope and for the header.

Both forms carry the same A-label. Django itself converts domains by IDNA 2003, which turns
`faß.de` into another domain (`fass.de`); so no domain reaches it in any form but ASCII.
"""

from __future__ import annotations

import re
import secrets
from email.errors import HeaderParseError
from email.header import decode_header, make_header

from ..smtp.addresses import Mailbox
from .domains import a_label

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_COMMENT = r"\((?:[^()\\]|\\.)*\)"
_WORD = r'[^\s<>()\[\]:;@\\,"]'

# [phrase] "<" addr-spec ">" (RFC 5322 3.4), the phrase with full stops as people write them.
_NAME_ADDR = re.compile(
    rf'(?:{_QUOTED}|{_COMMENT}|{_WORD}|\s)*<((?:{_QUOTED}|[^<>"])*)>(?:{_COMMENT}| )*'
)
_BARE = re.compile(rf'(?:{_COMMENT}| )*((?:{_QUOTED})?[^\s<>()"]*)(?:{_COMMENT}| )*')

# Mailboxes with commas in between.
_ENTRY = rf'(?:{_QUOTED}|{_COMMENT}|[^,"(])+'
_LIST = re.compile(rf"{_ENTRY}(?:,{_ENTRY})*")
_LISTED = re.compile(_ENTRY)
# A display name that is a phrase without quotes (RFC 5322 3.2.5).
_PHRASE = re.compile(r"[\w!#$%&'*+/^`{|}~ -]+")

# One word of a header of addresses: a comment, an open quote, or a word that may be an addr-spec.
_HEADER_WORD = re.compile(
    rf"{_COMMENT}"
    rf"|(?P<local>{_QUOTED}|{_WORD}+)(?: *@ *(?P<domain>\[[^\]]*\]|{_WORD}+))?"
    r'|(?P<open>")'
)
# RFC 2047 section 5 forbids encoded words in an addr-spec; parsers that decode them see another
# address than the one that was checked.
_ENCODED_WORD = "=?"


def envelope_address(text: str) -> str:
    """The mailbox for MAIL or RCPT: bare, quoted where needed, its domain ASCII or an A-label.

    Takes `local@domain` and `Name <local@domain>`. The local part is kept, also when it is not
    ASCII (SMTPUTF8); an ASCII domain passes unchanged. Raises ValueError for control characters,
    for anything but a single address, and for a domain that has no A-label.
    """
    text = str(text)
    refuse_control_characters(text)
    match = _NAME_ADDR.fullmatch(text) or _BARE.fullmatch(text)
    if not match or _ENCODED_WORD in match[1]:
        raise ValueError(f"Not a single e-mail address: {text!r}.")
    try:
        mailbox = Mailbox.parse(match[1])
        return str(Mailbox(mailbox.local, a_label(mailbox.domain)))
    except ValueError as error:
        raise ValueError(f"Not a valid e-mail address: {text!r} ({error})") from None


def envelope_sender(text: str) -> str:
    """As `envelope_address`; `<>` is the null reverse-path and gives the empty text."""
    text = str(text)
    return "" if text.strip(" ") == "<>" else envelope_address(text)


def normalized_address(text: object) -> str:
    """The bare address for comparing: domain as A-label, everything in small letters.

    Local parts may differ by case in theory (RFC 5321 2.4); people do not expect it.
    Read as for the envelope. Empty when the text is no single address.
    """
    try:
        return envelope_address(str(text)).lower()
    except ValueError:
        return ""


def listed_mailboxes(text: str) -> list[str]:
    """The texts between the commas of a header of addresses; the text itself if it is no list."""
    if not _LIST.fullmatch(text):
        return [text]
    return [entry.strip() for entry in _LISTED.findall(text)]


def display_name(text: str) -> str:
    """What stands beside the address of a single mailbox, as it was written: the phrase in front
    of it, or a comment. Empty if there is none, and for anything else."""
    if match := _NAME_ADDR.fullmatch(text):
        before, after = text[: match.start(1) - 1], text[match.end(1) + 1 :]
    elif match := _BARE.fullmatch(text):
        before, after = text[: match.start(1)], text[match.end(1) :]
    else:
        return ""
    return before.strip() or after.strip()


def decoded_name(text: str) -> str:
    """A display name for people: without quotes, its encoded words (RFC 2047) decoded.

    Empty for words that can't be decoded, and for those that hide a control character.
    """
    try:
        name = str(make_header(decode_header(text)))
    except (HeaderParseError, LookupError, UnicodeError, ValueError):
        return ""
    return name.replace('"', "").strip() if name.isprintable() else ""


def as_phrase(name: str) -> str:
    """A display name as it may stand in front of an address, in quotes where it needs them."""
    if not name or _PHRASE.fullmatch(name):
        return name
    return '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def refuse_control_characters(text: str) -> None:
    """Raises ValueError for an address with a control character or a line end in it."""
    if _CONTROL.search(text):
        raise ValueError(f"An e-mail address contains a control character: {text!r}.")


class HeaderAddresses:
    """Makes the addresses of one header block ASCII, and the rendered block right again.

    Domains become A-labels for good. Of a local part that is not ASCII, Django and Python's
    older e-mail API make an encoded word, which no server may decode; so it is rendered as a
    stand-in and put back into the octets as UTF-8 (RFC 6532).
    """

    def __init__(self) -> None:
        self._locals: list[str] = []
        self._mark = f"smtputf8-{secrets.token_hex(6)}-"

    @property
    def need_utf8(self) -> bool:
        """Whether a local part seen so far is not ASCII."""
        return bool(self._locals)

    def ascii(self, text: str) -> str:
        """A header value of addresses, lists and groups included, in ASCII but for names.

        Raises ValueError for a domain without A-label, for an encoded word inside an address and
        for an unclosed quote.
        """
        if text.isascii() and _ENCODED_WORD not in text:
            return text
        return _HEADER_WORD.sub(lambda match: self._word(match, text), text)

    def restore(self, octets: bytes) -> bytes:
        """The rendered message with the local parts back in its header."""
        if not self._locals:
            return octets
        end = re.search(rb"\r?\n\r?\n", octets)
        position = end.start() if end else len(octets)
        stand_in = re.compile(self._mark.encode() + rb"(\d+)")
        header = stand_in.sub(lambda m: self._locals[int(m[1])].encode(), octets[:position])
        return header + octets[position:]

    def _word(self, match: re.Match[str], text: str) -> str:
        local, domain = match["local"], match["domain"]
        if match["open"]:
            raise ValueError(f"A quote is not closed in {text!r}.")
        if domain is None:
            return match[0]
        if _ENCODED_WORD in local + domain:
            raise ValueError(f"An address contains an encoded word: {text!r}.")
        try:
            return f"{self._ascii_local(local)}@{a_label(domain)}"
        except ValueError as error:
            raise ValueError(f"Not a valid e-mail address: {match[0]!r} ({error})") from None

    def _ascii_local(self, local: str) -> str:
        if local.isascii():
            return local
        if local not in self._locals:
            self._locals.append(local)
        return f"{self._mark}{self._locals.index(local)}"
