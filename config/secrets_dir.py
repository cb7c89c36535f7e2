"""Settings from files: one file a setting, as Docker and Kubernetes mount secrets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from config.few_settings import bare, secret
from config.settings_error import SettingsError

__all__ = ["SecretFilesSource"]


class SecretFilesSource(PydanticBaseSettingsSource):
    """Reads the files of the folder `SECRETS_DIR`, each named as its setting, in upper or lower case.

    pydantic-settings' own `SecretsSettingsSource` only warns of a missing folder, which may be a mount that failed; passes over a link that
    leads out of the folder; takes an empty file for a value; and does not name the file that it cannot read.
    """

    def __init__(self, settings_cls: type[BaseSettings], directory: str | None) -> None:
        super().__init__(settings_cls)
        self._folder = bare(directory or "")
        if self._folder and not Path(self._folder).is_dir():
            raise SettingsError([f"SECRETS_DIR: must be a folder; got {self._folder!r}"])

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[str, str, bool]:  # noqa: ARG002
        """Return the text of one setting's file, the setting's name, and that the text is not JSON."""
        try:
            return secret(self._folder, field_name), field_name, False
        except UnicodeDecodeError:
            problem = "must be UTF-8 text"
        except OSError as error:
            problem = f"cannot be read: {error.strerror}"
        raise SettingsError([f"{field_name.upper()}: its file in SECRETS_DIR {problem}"])

    def __call__(self) -> dict[str, Any]:
        """Return the settings that have a file with something in it."""
        fields = self.settings_cls.model_fields.items()
        found = {name: self.get_field_value(field, name)[0] for name, field in fields}
        return {name: text for name, text in found.items() if text}
