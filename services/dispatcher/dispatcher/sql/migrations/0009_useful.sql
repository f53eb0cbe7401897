-- The campaign's latest useful time: past it the message is not sent. Null: it is always useful. From `releases`.
ALTER TABLE messages ADD COLUMN useful_until timestamptz;
