"""Which failures are worth another try."""

import asyncpg
import pytest
from kernel.errors import InvariantBroken, LogLost, retriable
from kernel.received import Received
from kernel.testing import processed


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.InternalClientError(),
        asyncpg.InterfaceError("connection is closed"),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.CrashShutdownError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.SerializationError(),
        asyncpg.LockNotAvailableError(),
        asyncpg.QueryCanceledError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.IdleInTransactionSessionTimeoutError(),
        ConnectionResetError(),
        ConnectionRefusedError(),
        TimeoutError(),
        OSError(),
    ],
)
def test_the_world_is_away(error: Exception) -> None:
    assert retriable(error)


@pytest.mark.parametrize(
    "error",
    [
        asyncpg.UniqueViolationError(),
        asyncpg.NotNullViolationError(),
        asyncpg.CheckViolationError(),
        asyncpg.UndefinedTableError(),
        asyncpg.PostgresSyntaxError(),
        asyncpg.InsufficientPrivilegeError(),
        asyncpg.DataError(),
        asyncpg.NumericValueOutOfRangeError(),
        InvariantBroken(Received(processed(1), "processed", 0, 0), "why"),
        LogLost("gone"),
        KeyError(),
        AssertionError(),
        ValueError(),
    ],
)
def test_we_or_the_event_are_wrong(error: Exception) -> None:
    assert not retriable(error)
