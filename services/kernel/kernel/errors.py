"""The three fates of a failure: retry (the world is away), quarantine (the event is wrong), crash (we are wrong)."""

import asyncpg

from kernel.received import Received

# The world is away or busy: the same step, done again, can succeed. A lost connection surfaces as any of the first 3.
_RETRIED = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    ConnectionError,
    TimeoutError,
    OSError,
)


class InvariantBroken(Exception):
    """An event that decodes but cannot be true. Its partition stops there, with an alarm, until an operator decides."""

    def __init__(self, received: Received, why: str) -> None:
        super().__init__(why)
        self.received = received
        self.why = why


class LogLost(RuntimeError):
    """The topic is not the one our offsets belong to, or has lost what we have not read: a person must decide."""


def retriable(error: BaseException) -> bool:
    """Whether the same step can succeed when done again. A value that does not fit its column never does."""
    return isinstance(error, _RETRIED) and not isinstance(error, asyncpg.DataError)
