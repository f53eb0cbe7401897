"""Headers of real exports."""

import pytest
from send_intake.columns import MAX_COLUMNS, Columns, FileProblem, phone_column, read_header

PHONES = """
    phone | Phone | PHONE | mobile | cell | number | Phone Number | phone_number | phoneNumber | Phone-Number | Phone 1
    mobile phone | Mobile_Phone | Cell Phone | CellPhone | cellphone | Cell # | tel | Tel. | telephone | Phone No.
    Telephone Number | Primary Phone | Mobile Number | Home Phone | home_phone | Work Phone | contact number
    Contact Phone | Phone (Mobile) | Phone (Home) | Phone 1 - Value | Preferred Phone | SMS Phone Number | mobile_phone
    MobilePhone | Mobile Phone Number | can2_phone | mobile_number | Voter Cell Phone | Phone Number (E.164)
    Cell Phone (Unformatted) | Customer Phone | teléfono | Teléfono móvil | móvil | celular | Número de teléfono
    Número de celular | Nº de teléfono | msisdn | Alternate Phone | Landline Number | Business Phone
"""
OTHERS = """
    name | Phone Type | Phone 1 - Type | Phone 1 - Label | Phone Country | Mobile Carrier | Mobile Opt In | SMS
    SMS Consent | Text | Cellar | Street Number | House Number | Account Number | Number of Kids | Home | Work | Fax
    Voter Number | Member Number | Customer Number | Patient Number | Donor No. | Student Number | User Number
    Fax Number | No | Email | Do Not Call | Zip | Telegram | Phonetic First Name | Automobile | Tell | Telephone Opt Out
"""


def listed(names: str) -> list[str]:
    return [name.strip() for line in names.strip().splitlines() for name in line.split("|")]


@pytest.mark.parametrize("name", listed(PHONES))
def test_a_phone_column_is_known_by_its_header(name: str) -> None:
    assert phone_column(["First Name", name, "City"]) == 1


@pytest.mark.parametrize("name", ["", *listed(OTHERS)])
def test_another_column_is_not_taken_for_a_phone(name: str) -> None:
    assert phone_column([name]) is None


@pytest.mark.parametrize(
    ("names", "best"),
    [
        (["Phone", "Mobile"], "Mobile"),
        (["Home Phone", "Phone"], "Phone"),
        (["Home Phone", "Cell Phone", "Preferred Phone"], "Cell Phone"),
        (["Number", "Telephone"], "Telephone"),
        (["Work Phone", "Number"], "Number"),
        (["Phone", "Other Mobile"], "Other Mobile"),
        (["Alternate Mobile", "Mobile"], "Mobile"),
        (["Phone 1 - Type", "Phone 1 - Value", "Phone 2 - Value"], "Phone 1 - Value"),
        (["Home Phone", "Work Phone"], "Home Phone"),
        (["Voter Number", "First Name", "Home Phone"], "Home Phone"),
        (["Customer Number", "Work Phone"], "Work Phone"),
        (["Donor Number", "Landline"], "Landline"),
    ],
)
def test_of_several_phones_the_likeliest_to_read_a_text_is_taken(names: list[str], best: str) -> None:
    index = phone_column(names)
    assert index is not None
    assert names[index] == best


def names_of(*cells: str) -> tuple[str, ...]:
    columns = read_header(cells, "US")
    assert isinstance(columns, Columns)
    return columns.names


def test_columns_keep_their_headers_trimmed() -> None:
    assert read_header([" First Name ", "Phone", "e-mail"], "US") == Columns(1, ("First Name", "e-mail"), 3)


def test_a_nameless_column_is_called_by_its_place() -> None:
    assert names_of("phone", "", "name", " ") == ("column_2", "name", "column_4")
    assert names_of("", "column_1", "phone") == ("column_1_2", "column_1")


def test_a_second_column_of_a_name_is_numbered() -> None:
    assert names_of("phone", "notes", "notes", "notes") == ("notes", "notes_2", "notes_3")
    assert names_of("phone", "notes", "notes", "notes_2") == ("notes", "notes_3", "notes_2")
    assert names_of("phone", "phone", "Notes", "notes") == ("phone_2", "Notes", "notes")


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        (["name", "email"], FileProblem.MISSING_PHONE_COLUMN),
        (["Ann", "(202) 555-0123"], FileProblem.MISSING_HEADER),
        (["2025550123"], FileProblem.MISSING_HEADER),
        (["phone"] * (MAX_COLUMNS + 1), FileProblem.TOO_MANY_COLUMNS),
        (["phone", "x" * 10_000], FileProblem.UNREADABLE_HEADER),
        (["PK\x03\x04\x14\x06"], FileProblem.NOT_CSV),
    ],
)
def test_a_header_that_cannot_be_used_is_refused(cells: list[str], problem: FileProblem) -> None:
    assert read_header(cells, "US") is problem


def test_blank_columns_beyond_the_limit_are_a_spreadsheets_habit() -> None:
    columns = read_header(["phone", "name"] + [""] * 16_382, "US")
    assert isinstance(columns, Columns)
    assert columns.width == MAX_COLUMNS


def test_every_problem_has_words() -> None:
    assert all(problem.words.endswith(".") for problem in FileProblem)
