"""A phone number as a person types it, as E.164."""

from functools import lru_cache

import phonenumbers


class BadPhone(ValueError):
    """Not a number that can be texted; the message says why and never repeats it."""


@lru_cache(maxsize=4096)
def read(typed: str, region: str) -> str:
    """E.164 of what was typed, read as in `region` unless it names its own country. Raises BadPhone."""
    try:
        number = phonenumbers.parse(typed, region)
    except phonenumbers.NumberParseException as error:
        raise BadPhone(f"This is not a phone number: {type(error).__name__}.") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise BadPhone("No phone that can be texted has this number.")
    return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
