"""The topics: who writes each, how it is keyed, which events it carries. Manifests and the catalogue follow it."""

from dataclasses import dataclass

from schemas import events as e

FOR_EVER = -1
ONE_DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class Topic:
    """One Kafka topic. `key` names the event's field that is the record's key; `retention_ms` -1 keeps for ever."""

    name: str
    writer: str
    key: str | None
    events: tuple[type[e.Event], ...]
    partitions_local: int = 4
    partitions_production: int = 12
    retention_ms: int = FOR_EVER
    cleanup_policy: str = "delete"


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic("campaigns", "send-intake", "campaign_id", (e.CampaignCreated, e.CampaignEnded)),
        Topic("recipients", "send-intake", "recipient_id", (e.RecipientAdded,)),
        Topic("processed", "send-intake", "recipient_id", (e.RecipientProcessed,)),
        Topic(
            "clock",
            "send-intake",
            None,
            (e.ClockAdvanced,),
            partitions_local=1,
            partitions_production=1,
            retention_ms=ONE_DAY_MS,
        ),
        Topic("releases", "scheduler", "recipient_id", (e.MessageReleased, e.MessageDropped)),
        Topic(
            "dispatches",
            "dispatcher",
            "recipient_id",
            (
                e.MessageSuppressed,
                e.SendAttempted,
                e.SendNotAccepted,
                e.MessageAccepted,
                e.MessageRejected,
                e.MessageUnresolved,
            ),
        ),
        Topic(
            "receipts",
            "dispatcher",
            "recipient_id",
            (e.MessageDelivered, e.MessageNotDelivered, e.MessageUnconfirmed),
        ),
        Topic("opt-outs", "dispatcher", "person_id", (e.PersonOptedOut, e.PersonOptedIn, e.PersonErased)),
        Topic("access", "send-intake", "token_id", (e.TokenRevoked,)),
    )
}

TOPIC_OF: dict[type[e.Event], Topic] = {event: topic for topic in TOPICS.values() for event in topic.events}
