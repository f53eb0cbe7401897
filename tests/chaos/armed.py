"""Arms named steps of the running stack (`kernel/steps.py`), and tells who came to them."""

from pathlib import Path

KERNEL_STEPS = {
    "batch": ("batch.moved", "batch.handled", "batch.written", "batch.committed"),
    "relay": ("relay.read", "relay.appended", "relay.produced", "relay.deleted"),
}
STEPS = {
    "scheduler": (
        *KERNEL_STEPS["batch"],
        *KERNEL_STEPS["relay"],
        *("release.ready", "release.committed"),  # one statement in between
        *("drop.taken", "drop.written", "drop.committed"),
    ),
    "send-intake": (*KERNEL_STEPS["relay"], "clock.read", "clock.moved", "clock.ends", "clock.produced"),
}
# Of the dispatcher, each a moment at which a death could text somebody twice, lose them, or forget what they said.
DISPATCHER = (
    *KERNEL_STEPS["batch"],
    *KERNEL_STEPS["relay"],
    *("intent.written", "intent.committed", "post.ready", "post.written", "post.answered"),
    *("outcome.written", "outcome.committed", "receipt.written", "receipt.committed"),
    *("reply.written", "reply.committed", "left.found", "left.closed"),
)


class Armed:
    """The folder that STEPS_DIR names. A step is `<service>.<step>`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def setting(self) -> dict[str, str]:
        return {"STEPS_DIR": str(self.folder)}

    def arm(self, step: str, signal: str = "KILL") -> None:
        """The next process that comes to the step takes the signal."""
        new = self.folder / ".new"  # written whole before it can be found
        new.write_text(signal)
        new.rename(self.folder / step)

    def taken(self, step: str) -> int | None:
        """The process that came to the armed step, told once."""
        for claimed in self.folder.glob(f"{step}@*"):
            claimed.unlink()
            return int(claimed.name.rpartition("@")[2])
        return None

    def disarm(self, step: str) -> None:
        (self.folder / step).unlink(missing_ok=True)
