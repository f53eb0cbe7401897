"""Why something happened, as the enums of the events. `unknown` is Avro's default symbol."""

from enum import StrEnum


class FailureReason(StrEnum):
    """Why a sent message was refused or did not arrive, normalised over carriers."""

    UNKNOWN = "unknown"
    OPTED_OUT = "opted_out"
    INVALID_NUMBER = "invalid_number"
    LANDLINE = "landline"
    UNREACHABLE = "unreachable"
    UNKNOWN_NUMBER = "unknown_number"
    BLOCKED_RECIPIENT = "blocked_recipient"
    FILTERED = "filtered"
    UNREGISTERED_SENDER = "unregistered_sender"
    RATE_LIMITED = "rate_limited"
    ACCOUNT = "account"
    REGION = "region"
    CONTENT = "content"
    EXPIRED = "expired"
    CARRIER_OUTAGE = "carrier_outage"


class NotAcceptedReason(StrEnum):
    """Why an attempt is known not to have been taken; the message waits again."""

    UNKNOWN = "unknown"
    COULD_NOT_CONNECT = "could_not_connect"
    THROTTLED = "throttled"
    INTENT_EXPIRED = "intent_expired"


class UnresolvedReason(StrEnum):
    """What was seen of an attempt nobody knows the outcome of."""

    UNKNOWN = "unknown"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    CARRIER_ERROR = "carrier_error"
    UNREADABLE_ANSWER = "unreadable_answer"
    PROCESS_KILLED = "process_killed"


class DropReason(StrEnum):
    """Why the scheduler dropped a message."""

    UNKNOWN = "unknown"
    CAMPAIGN_ENDED = "campaign_ended"


class SuppressReason(StrEnum):
    """Why the dispatcher did not send a message."""

    UNKNOWN = "unknown"
    OPTED_OUT = "opted_out"
    PERSON_ERASED = "person_erased"
    TOO_LATE = "too_late"


class UnconfirmedReason(StrEnum):
    """Why a message counts as unconfirmed."""

    UNKNOWN = "unknown"
    NO_RECEIPT = "no_receipt"


class OptOutSource(StrEnum):
    """Where an opt-out, or its lifting, came from."""

    UNKNOWN = "unknown"
    REPLY = "reply"
    MANUAL = "manual"
    IMPORT = "import"
    CARRIER = "carrier"
    LEGAL = "legal"
