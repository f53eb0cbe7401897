"""What `handsent replay verify` prints of a verdict."""

import json

from handsent.replay import as_dict, lines
from kernel.verdict import Difference, Refused, Table, Verdict

GONE = Difference({"campaign_id": "c1", "name": "City"}, False, True, [])
MADE_UP = Difference({"campaign_id": "c1", "name": "Town"}, True, False, [])
CHANGED = Difference({"recipient_id": "r1"}, True, True, ["state", "version"])
TABLES = [
    Table("list_columns", 2, 2, [GONE, MADE_UP]),
    Table("recipients", 90, 21, [CHANGED]),
    Table("erasures", 0, 0, []),
]
VERDICT = Verdict(TABLES, ["c1"], [Refused("receipts", 2, 7)], 10, 1, fold_s=2.0, total_s=3.0)
EQUAL = Verdict([Table("held", 3, 0, [])], [], [], 10, 0, fold_s=2.0, total_s=3.0)


def test_every_difference_is_said_with_its_table_and_key() -> None:
    said = "\n".join(lines({"scheduler": EQUAL, "projections": VERDICT}))
    for expected in (
        "scheduler\n  held                        3 rows  equal\n",
        "projections\n  list_columns                2 rows  2 DIFFER\n",
        "campaign_id c1, name City: the row is missing",
        "campaign_id c1, name Town: the log does not give this row",
        "recipient_id r1: state, version",
        "and 20 more",
        "campaign c1: its figures are no recount of its rows",
        "receipts-2@7 was folded, and cannot be folded now",
        "10 events folded, 1 set aside; 5 a second, 3.0 s in all",
        "THE TABLES ARE NOT WHAT THE LOG SAYS",
    ):
        assert expected in said


def test_the_json_says_the_same() -> None:
    told = json.loads(json.dumps(as_dict({"scheduler": EQUAL, "projections": VERDICT})))
    assert told["equal"] is told["services"]["projections"]["equal"] is False
    assert told["services"]["scheduler"]["equal"] is True
    assert told["tables"]["recipients"]["differences"] == [CHANGED._asdict()]
    assert told["refused"] == [{"topic": "receipts", "partition": 2, "offset": 7}]


def test_projections_stand_at_the_top_of_the_json_as_well() -> None:
    told = as_dict({"scheduler": EQUAL, "projections": VERDICT})
    assert {**told["services"]["projections"], "equal": False, "services": told["services"]} == told
    assert set(as_dict({"scheduler": EQUAL})) == {"equal", "services"}
