"""Ids that follow from what they name."""

import hashlib
import hmac
import uuid

from hypothesis import given
from hypothesis import strategies as st

from schemas import identity

CAMPAIGN = "6a1f4f0e-93f5-4a53-8d0c-3c8a7b6f0001"
NUMBER = "+12025550123"


@given(st.uuids(), st.text())
def test_uuid5_is_the_standard_library_s(namespace: uuid.UUID, name: str) -> None:
    assert identity.uuid5(str(namespace), name) == str(uuid.uuid5(namespace, name))


def test_a_recipient_is_a_number_in_a_campaign() -> None:
    assert identity.recipient_id(CAMPAIGN, NUMBER) == str(uuid.uuid5(uuid.UUID(CAMPAIGN), NUMBER))


@given(st.text(min_size=16), st.uuids().map(str))
def test_a_person_is_a_number_in_an_account_under_the_secret(secret: str, account_id: str) -> None:
    digest = hmac.new(secret.encode(), f"{account_id}:{NUMBER}".encode(), hashlib.sha256).digest()
    assert identity.person_id(secret, account_id, NUMBER) == str(uuid.UUID(bytes=digest[:16]))


def test_attempts_have_ids_of_their_own() -> None:
    ids = [identity.event_id(CAMPAIGN, "SendAttempted", attempt) for attempt in (None, 1, 2, 11)]
    assert len(set(ids)) == 4
    assert ids[1] == str(uuid.uuid5(uuid.UUID(CAMPAIGN), "SendAttempted:1"))


def test_ids_are_canonical_text() -> None:
    for made in (identity.uuid5(CAMPAIGN.upper(), "x"), identity.HANDSENT):
        assert made == str(uuid.UUID(made))
