"""The operating system's own judgement of certificates, by the optional package truststore."""

from __future__ import annotations

import importlib.util
import ssl


def require_truststore() -> None:
    """Raises ValueError, with the cure, where truststore is not installed."""
    if importlib.util.find_spec("truststore") is None:
        raise ValueError(
            "'os' needs the package truststore: pip install \"django-smtpauth[truststore]\""
        )


def os_context() -> ssl.SSLContext:
    """A context for TLSOptions.new_context: Windows and macOS verify themselves; elsewhere it is
    OpenSSL with the authorities that the system keeps."""
    import truststore

    return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
