"""For every test: nothing of the caller's environment reaches it, and a failing random test prints what to repeat."""

from collections.abc import Iterator

import pytest
from handsent.settings import StackSettings
from hypothesis import settings

# Two busy cores make any example slow now and then; `print_blob` is the line that repeats a failure exactly.
settings.register_profile("handsent", deadline=None, print_blob=True)
settings.load_profile("handsent")


@pytest.fixture(scope="session", autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """A test says what it needs: a DATABASE_URL of the caller's must not become the one it writes to."""
    with pytest.MonkeyPatch.context() as patch:
        for name in StackSettings.model_fields:
            patch.delenv(name.upper(), raising=False)
            patch.delenv(f"{name.upper()}_FILE", raising=False)
        yield
