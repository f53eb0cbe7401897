"""Sealed text: it opens with its own key, as what it is, and as nothing else."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel.seal import (
    EVIDENCE,
    KEY_BYTES,
    NUMBER,
    PREFIX,
    Key,
    Tampered,
    VaultKey,
    is_sealed,
    key_id_of,
    text_of,
    unseal,
)

ADA, BOB = Key(b"a" * KEY_BYTES), Key(b"b" * KEY_BYTES)
PERSON, ANOTHER = "0f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d10", "1f4d5a52-6f2c-5a5e-9a3e-0c6c2f1f6d11"
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=400)


@given(texts, st.sampled_from([NUMBER, EVIDENCE, text_of(PERSON)]))
def test_what_was_sealed_opens_with_its_key(text: str, what: str) -> None:
    sealed = ADA.seal(what, text)
    assert is_sealed(sealed) and key_id_of(sealed) == ADA.key_id
    assert unseal(ADA, what, sealed) == text
    assert unseal(BOB, what, sealed) is None and unseal(None, what, sealed) is None


def test_the_same_text_is_never_sealed_alike() -> None:
    assert len({ADA.seal(NUMBER, "+12025550123") for _ in range(100)}) == 100


def test_a_text_opens_only_as_what_it_was_sealed_as() -> None:
    sealed = ADA.seal(text_of(PERSON), "Hello")
    for what in (NUMBER, text_of(ANOTHER)):
        with pytest.raises(Tampered):
            unseal(ADA, what, sealed)


@settings(max_examples=300)
@given(st.data())
def test_no_change_to_it_goes_unnoticed(data: st.DataObject) -> None:
    raw = bytearray(base64.b64decode(ADA.seal(NUMBER, "+12025550123").removeprefix(PREFIX)))
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] ^= data.draw(st.integers(1, 255))
    changed = PREFIX + base64.b64encode(raw).decode()
    if at < 8:  # the key's id: it is somebody else's, then
        assert unseal(ADA, NUMBER, changed) is None
    else:
        with pytest.raises(Tampered):
            unseal(ADA, NUMBER, changed)


@pytest.mark.parametrize("torn", [PREFIX, f"{PREFIX}AAAA", f"{PREFIX}!!!!", ADA.seal(NUMBER, "+1")[:-8], f"{PREFIX}é"])
def test_what_was_cut_is_tampered_with(torn: str) -> None:
    with pytest.raises(Tampered):
        unseal(ADA, NUMBER, torn)
    assert key_id_of(torn) in (None, b"", ADA.key_id, b"\0\0\0")


@given(texts.filter(lambda text: not text.startswith(PREFIX)))
def test_what_is_not_sealed_is_read_as_it_is(text: str) -> None:
    assert unseal(None, NUMBER, text) == text and key_id_of(text) is None and not is_sealed(text)


def test_no_error_repeats_what_it_was_about() -> None:
    with pytest.raises(Tampered) as said:
        unseal(ADA, text_of(PERSON), ADA.seal(NUMBER, "+12025550123"))
    assert PERSON not in str(said.value) and "2025550123" not in str(said.value)


def test_a_commitment_is_the_text_of_this_recipient_under_this_key() -> None:
    committed = ADA.commitment(PERSON, "Hello")
    assert committed == ADA.commitment(PERSON, "Hello")
    others = {ADA.commitment(PERSON, "Hello!"), ADA.commitment(ANOTHER, "Hello"), BOB.commitment(PERSON, "Hello")}
    assert committed not in others and len(others) == 3


def test_a_wrapped_key_opens_for_its_subject_and_its_vault_key_alone() -> None:
    vault_key, another = VaultKey("k" * 32), VaultKey("l" * 32)
    wrapped = vault_key.wrap(PERSON, b"s" * KEY_BYTES)
    assert vault_key.unwrap(PERSON, wrapped) == b"s" * KEY_BYTES
    for key, subject in ((vault_key, ANOTHER), (another, PERSON)):
        with pytest.raises(Tampered):
            key.unwrap(subject, wrapped)
    assert vault_key.key_id != another.key_id
