"""What is refused as a secret, and what is not."""

from pathlib import Path

import pytest

from diffkit import DiffkitError
from diffkit.compose.secrets import HIDDEN, masked, refuse_secrets

INNOCENT = {
    "TOKENIZERS_PARALLELISM": "false",
    "KEYBOARD": "us-international-1",
    "SSH_AUTH_SOCK": "/run/user/1000/agent.1",
    "GPG_KEY": "E3FF2839C048B25C084DEBE9B26995E310250568",
    "MY_TOKEN": "moons",
    "TRUST_SECRET": "webdataset",
    "DB_PASSWORD": "12345678",
}
KEYS = ("tokens", "max_tokens", "key", "keys", "monkey", "keyboard", "tokenizer", "secretary", "passwords_seen")


def test_ordinary_choices_are_no_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in {**INNOCENT, "API_TOKEN_FILE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    refuse_secrets(dict.fromkeys(KEYS, "of 16 characters"))
    refuse_secrets({"pad_token": "<|endoftext|>", "mask_token": "[MASK]", "token": 3, "password": None})
    refuse_secrets({"data": {"_part_": "moons", "folder": f"{tmp_path}/a"}, "tags": ["false", "us-international-1"]})
    refuse_secrets({"name": "webdataset", "out": "/run/user/1000/agent.1", "group": "12345678"})


@pytest.mark.parametrize("key", ["token", "hf_token", "password", "db-password", "wandb.api_key", "client_secret"])
def test_what_is_called_a_secret_is_one(key: str) -> None:
    with pytest.raises(DiffkitError, match=f"logger.{key} is a secret by its name"):
        refuse_secrets({"logger": {key: "a1b2c3d4e5"}})


@pytest.mark.parametrize("value", ["a1b2c3d4e", "correct horse", "/AbC+dE12", "Moons-and-digits"])
def test_the_values_of_secret_variables_are_refused_and_hidden(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", value)
    with pytest.raises(DiffkitError, match="tags is the value of the variable MY_TOKEN"):
        refuse_secrets({"tags": [f"x{value}x"]})
    assert masked(f"x{value}x") == f"x{HIDDEN}x"
