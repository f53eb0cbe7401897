-- A person's callbacks are found, and those that are old enough are, without a look at all that came within a month.
CREATE INDEX callbacks_of_recipient ON callbacks (recipient_id) WHERE recipient_id IS NOT NULL;
CREATE INDEX callbacks_by_time ON callbacks (fate, received_at);
