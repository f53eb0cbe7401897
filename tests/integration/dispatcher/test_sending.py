"""From a release to the carrier and back."""

from tests.integration.dispatcher.world import World


async def test_a_released_message_is_posted_once_and_delivered(sending: World) -> None:
    number = sending.number()
    await sending.publish(sending.released(number, text="Hi Ada, 1 + 1 = 2 & more"))
    assert await sending.told(number, until="MessageDelivered") == [
        ["SendAttempted", "MessageAccepted", "MessageDelivered"]
    ]
    [line] = await sending.ledger(number)
    assert (line["body"], line["from"]) == ("Hi Ada, 1 + 1 = 2 & more", sending.sender)
