"""A campaign's text with merge fields, and the text one person gets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from send_intake.template import MAX_TEXT, Template, TemplateProblem, TemplateReason, normal, parse


def compiled(text: str) -> Template:
    template = parse(text)
    assert isinstance(template, Template), template
    return template


@pytest.mark.parametrize(
    ("text", "columns", "rendered"),
    [
        ("Hi {first_name}!", {"first_name": "Ann"}, "Hi Ann!"),
        ("Hi {first_name}!", {"First Name": "Ann"}, "Hi Ann!"),
        ("Hi {FirstName}!", {"first_name": "Ann"}, "Hi Ann!"),
        ("Hi { First Name }!", {"FIRST_NAME": "Ann"}, "Hi Ann!"),
        ("Hi {first_name}!", {"first_name": ""}, "Hi !"),
        ("Hi {first_name}!", {}, "Hi !"),
        ("{a}{b}{a}", {"a": "1", "b": "2"}, "121"),
        ("  {a}\n", {"a": " x "}, "   x \n"),
        ("{{a}} {a}", {"a": "1"}, "{a} 1"),
        ("{{{a}}}", {"a": "1"}, "{1}"),
        ("100% {a} %s %%", {"a": "5%"}, "100% 5% %s %%"),
        ("{a}", {"a": "{b} {{ %s", "b": "no"}, "{b} {{ %s"),
        ("¡Hola {año}! 😀", {"an\u0303o": "2025"}, "¡Hola 2025! 😀"),
        ("no field", {"a": "1"}, "no field"),
    ],
)
def test_a_text_is_filled_in_and_nothing_is_added_or_trimmed(text: str, columns: dict[str, str], rendered: str) -> None:
    assert compiled(text).render(columns) == rendered


@pytest.mark.parametrize(
    ("text", "reason", "at"),
    [
        ("", TemplateReason.EMPTY_TEXT, 0),
        (" \n", TemplateReason.EMPTY_TEXT, 0),
        ("x" * (MAX_TEXT + 1), TemplateReason.TEXT_TOO_LONG, MAX_TEXT),
        ("Hi {first_name", TemplateReason.UNBALANCED_BRACE, 3),
        ("Hi first_name}", TemplateReason.UNBALANCED_BRACE, 13),
        ("{a{b}", TemplateReason.UNBALANCED_BRACE, 0),
        ("{{a}", TemplateReason.UNBALANCED_BRACE, 3),
        ("Hi {}", TemplateReason.EMPTY_FIELD, 3),
        ("Hi { _ }", TemplateReason.EMPTY_FIELD, 3),
        ("Hi\0", TemplateReason.UNSENDABLE_CHARACTER, 2),
        ("Hi \ud83d", TemplateReason.UNSENDABLE_CHARACTER, 3),
    ],
)
def test_a_text_that_cannot_be_sent_is_refused_with_its_place(text: str, reason: TemplateReason, at: int) -> None:
    assert parse(text) == TemplateProblem(reason, at)


def test_the_longest_text_is_a_text() -> None:
    assert isinstance(parse("x" * MAX_TEXT), Template)


def test_every_reason_has_words() -> None:
    assert all(reason.words.endswith(".") for reason in TemplateReason)


def test_fields_are_named_once_in_order() -> None:
    assert compiled("{b} {a} {b} {{c}}").fields == ("b", "a")


def test_a_field_without_a_column_is_missing() -> None:
    template = compiled("{first_name} {city} {zip}")
    assert template.missing(["First Name", "ZIP", "state"]) == ("city",)
    assert template.missing(["FIRSTNAME", "City", "Zip"]) == ()


@pytest.mark.parametrize(
    "order", [["First Name", "first_name", "FIRSTNAME"], ["FIRSTNAME", "first_name", "First Name"]]
)
def test_of_columns_alike_the_one_spelled_as_the_field_fills_it_in_any_order(order: list[str]) -> None:
    columns = {name: name for name in order}
    assert compiled("{first_name}").render(columns) == "first_name"
    assert compiled("{firstname}").render(columns) == "FIRSTNAME"


def test_case_spaces_and_underscores_do_not_tell_names_apart() -> None:
    assert {normal(name) for name in ["First Name", "first_name", "FIRSTNAME", " first  name_"]} == {"firstname"}
    assert normal("first-name") != "firstname"


@given(st.text(alphabet="{}ab %_", max_size=12), st.text(alphabet="{}ab% ", max_size=5))
@settings(max_examples=200, deadline=None)
def test_text_with_its_braces_doubled_is_itself(text: str, cell: str) -> None:
    doubled = text.replace("{", "{{").replace("}", "}}")
    assert compiled(f"{doubled}.{{name}}.{doubled}").render({"name": cell}) == f"{text}.{cell}.{text}"


@given(st.text(max_size=30))
@settings(max_examples=100, deadline=None)
def test_any_text_is_a_template_or_a_problem(text: str) -> None:
    template = parse(text)
    assert isinstance(template, TemplateProblem) or isinstance(template.render({}), str)
