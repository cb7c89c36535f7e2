"""Everything one running sandbox knows, and starting it afresh."""

from sandbox.faults import FaultBook
from sandbox.journal import Journal
from sandbox.settings import SandboxConfig
from sandbox.store import Store


class SandboxState:
    """Settings, data, faults and the log. Calls in flight keep the data, log and settings they arrived with."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self.settings = config
        self._begin()

    def reset(self, *, settings: bool) -> None:
        """Forget data, faults and log; with `settings`, also every change of a setting."""
        if settings:
            self.settings = self._config
        self._begin()

    def change_settings(self, changes: dict[str, object]) -> SandboxConfig:
        """Replace some settings, and return all; `pydantic.ValidationError` if one is wrong."""
        self.settings = SandboxConfig.model_validate({**self.settings.model_dump(), **changes})
        return self.settings

    def _begin(self) -> None:
        self.store = Store(self.settings.seed)
        self.faults = FaultBook()
        self.journal = Journal(self.settings.log_limit)
