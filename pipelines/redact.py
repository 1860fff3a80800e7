"""Secrets in options: what they go by, and options without them."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from typing import Any

_SECRET_NAME = re.compile(
    r"secret|token|passw|pwd|credential|signature|auth(?!or(?!i))|(?<![a-z])sig(?![a-z])"
    r"|((?<![a-z])|api|access|account|private|shared)keys?(?![a-z])"
)
_USER = re.compile(r"(?<=://)([^/@\s:]*:(?!:)\S*|[^/@\s]+)@")
"""User and password in a URL; a password may hold slashes and @, so it ends at the last @."""


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME.search(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()))


def redact(value: Any, name: str = "") -> Any:
    """An option's value without secrets: what goes by such a name, and users in URLs.

    Names are those of options, of keys in dictionaries and JSON, and of `name=value` in texts.
    """
    if isinstance(value, Mapping):
        return {
            key: redact(item, name if _is_secret(name) else str(key)) for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item, name) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if _is_secret(name):
        return "***"
    if isinstance(value, (int, float)):
        return value
    text = str(value)
    if text.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError, RecursionError):
            return json.dumps(redact(json.loads(text)))
    return re.sub(
        r"([\w.-]+)=([^&;,\s]+)",
        lambda pair: f"{pair[1]}=***" if _is_secret(pair[1]) else pair[0],
        _USER.sub("***@", text),
    )
