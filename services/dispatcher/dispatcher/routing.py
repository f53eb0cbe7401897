"""Which provider carries a sender's texts."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Routing:
    """A sender's number is with one provider: its own, or the default one."""

    default: str
    own: Mapping[str, str] = field(default_factory=dict)

    def provider_of(self, sender: str) -> str:
        """The provider's name, as in the paths of its webhooks."""
        return self.own.get(sender, self.default)
