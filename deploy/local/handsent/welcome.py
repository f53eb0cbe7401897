"""What a person reads once everything runs."""

from collections.abc import Mapping


def lines(settings: Mapping[str, str]) -> list[str]:
    return [
        f"the UI     {settings['INTAKE_URL']}",
        "sign in    with the token that `.venv/bin/handsent user add NAME --role manager` prints (account: demo)",
        "to stop    Ctrl-C",
    ]
