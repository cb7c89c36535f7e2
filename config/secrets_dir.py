"""Settings from files: one file a setting, as Docker and Kubernetes mount secrets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_settings import PydanticBaseSettingsSource

from config.settings_error import SettingsError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

__all__ = ["SecretFiles", "SecretFilesSource"]


@dataclass(frozen=True, slots=True)
class SecretFiles:
    """The folder `SECRETS_DIR`, or none."""

    directory: Path | None

    def read(self, name: str) -> str | None:
        """The text of the file named `name`, in upper or lower case, without its trailing newline.

        None if there is no such file. Raises SettingsError if it cannot be read.
        """
        if self.directory is None:
            return None
        for path in (self.directory / name.upper(), self.directory / name.lower()):
            try:
                if path.is_file():
                    return path.read_text(encoding="utf-8").rstrip("\r\n")
            except OSError as error:
                problem = f"its file in SECRETS_DIR cannot be read: {error.strerror}"
            except UnicodeDecodeError:
                problem = "its file in SECRETS_DIR must be UTF-8 text"
            else:
                continue
            raise SettingsError([f"{name.upper()}: {problem}"])
        return None

    def check(self) -> None:
        """Raise SettingsError if the folder is named but missing: a failed mount must not go unnoticed."""
        if self.directory is not None and not self.directory.is_dir():
            raise SettingsError([f"SECRETS_DIR: must be a folder; got {str(self.directory)!r}"])


class SecretFilesSource(PydanticBaseSettingsSource):
    """Hands the files of `SecretFiles` to pydantic-settings.

    Its own `SecretsSettingsSource` only warns when the folder is missing, and strips more than the newline.
    """

    def __init__(self, settings_cls: type[BaseSettings], files: SecretFiles) -> None:
        super().__init__(settings_cls)
        self._files = files

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        """The value of one field, its name, and that it needs no JSON parsing."""
        return self._files.read(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The settings that have a file which is not empty."""
        self._files.check()
        found = {name: self._files.read(name) for name in self.settings_cls.model_fields}
        return {name: text for name, text in found.items() if text}
