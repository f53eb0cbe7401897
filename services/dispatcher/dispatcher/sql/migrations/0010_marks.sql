-- Which file an owner notes its POSTs in (`app_marks.py`); of no use on another machine than the owner's.
CREATE TABLE marks (
    owner int  PRIMARY KEY,
    name  uuid NOT NULL
);
COMMENT ON TABLE marks IS 'no wall: processes, not accounts';
