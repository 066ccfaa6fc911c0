"""Secrets: a run's choices are written down, and shown to loggers, so that none of them may be one."""

import os
import re
from collections.abc import Mapping
from typing import Any

from diffkit.core.errors import DiffkitError

_TOKEN = "token"
_WORDS = frozenset(["password", "passwd", "passphrase", "secret", "secrets", _TOKEN, "credential", "credentials"])
_KEYS = ("api_key", "apikey", "access_key", "private_key", "auth_key")
_ORDINARY = re.compile(r".{0,8}|\W*[a-z_]+\W*", re.DOTALL)
"""What may stand anywhere: few characters, or a word, as `moons` or `<|endoftext|>`."""
_LOGIN = re.compile(r"://[^/@\s]*:[^/@\s]+@")
HIDDEN = "***"


def _secret_name(name: str) -> bool:
    """Whether a name says that what it names is a secret: `api_key`, `HF_TOKEN`, `db_password`; no `max_tokens`."""
    words = name.lower().replace("-", "_")
    return bool(_WORDS & set(words.split("_"))) or any(key in words for key in _KEYS)


def _ordinary(value: str) -> bool:
    """Whether a value is none that somebody would keep secret; a file that has one is not one."""
    return _ORDINARY.fullmatch(value) is not None or os.path.exists(value)


def _values() -> dict[str, str]:
    """The secrets of the environment, by the names of their variables."""
    named = {name: value for name, value in os.environ.items() if _secret_name(name) or name.upper().endswith("_KEY")}
    return {name: value for name, value in named.items() if not _ordinary(value)}


def refuse_secrets(config: Mapping[Any, Any]) -> None:
    """Raise `DiffkitError` for a choice that is a secret: by its key's name, by a variable's value, by its login."""
    _refuse(config, "", _values())


def _refuse(node: Any, key: str, secrets: Mapping[str, str]) -> None:
    if isinstance(node, Mapping):
        for name, value in node.items():
            _refuse(value, f"{key}.{name}".lstrip("."), secrets)
    elif isinstance(node, list | tuple):
        for value in node:
            _refuse(value, key, secrets)
    elif isinstance(node, str) and node:
        for name, secret in secrets.items():
            if secret in node:
                raise _refusal(key, f"the value of the variable {name}")
        name = key.rpartition(".")[2]
        if _secret_name(name) and not (_TOKEN in name.lower() and _ordinary(node)):  # as pad_token has it
            raise _refusal(key, "a secret by its name")
        if _LOGIN.search(node):
            raise _refusal(key, "an address with a password")


def _refusal(key: str, what: str) -> DiffkitError:
    return DiffkitError(
        f"{key} is {what}: choices are written into the run's folder and shown to its loggers; leave it to the"
        " environment, where what needs it finds it."
    )


def masked(text: str) -> str:
    """A text that is written down, without the secrets of the environment and the passwords in addresses."""
    for secret in sorted(_values().values(), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _LOGIN.sub(f"://{HIDDEN}@", text)
