-- Accounts are walls, here too: what the API's role may do, and with whose rows (`wall` is the kernel's).

SELECT wall('messages', 'SELECT');
SELECT wall('opt_outs', 'SELECT, INSERT, UPDATE');
SELECT wall('erased',   'SELECT, INSERT');
SELECT wall('replies',  'SELECT'); -- the parked ones have no account yet, and are in nobody's sight
SELECT wall('senders',  '');
SELECT wall('lanes',    '');

-- Below a message: whose it is is looked up there, in what its own wall lets through; not by EXISTS, for which Postgres
-- may read all messages to save itself a few look-ups. Intents, outcomes and receipts are the service's work for all
-- accounts: they are the owner's, and pay nothing for this.
SELECT wall('attempts', 'SELECT, UPDATE',
            '(SELECT true FROM messages m WHERE m.recipient_id = attempts.recipient_id)');
SELECT wall('resolutions', 'SELECT, INSERT',
            '(SELECT true FROM messages m WHERE m.recipient_id = resolutions.recipient_id)');
-- An operator's word moves an attempt as an outcome does: off its owner's hands, perhaps back into the queue.
SELECT wall('in_flight', 'SELECT (recipient_id, attempt), DELETE',
            '(SELECT true FROM messages m WHERE m.recipient_id = in_flight.recipient_id)');
SELECT wall('queue', 'SELECT (recipient_id), INSERT',
            '(SELECT true FROM messages m WHERE m.recipient_id = queue.recipient_id)');

-- What came about nobody's message is in nobody's sight.
SELECT wall('callbacks', 'SELECT',
            '(SELECT true FROM messages m WHERE m.recipient_id = callbacks.recipient_id)');

COMMENT ON TABLE sweep IS 'no wall: a time';
SELECT let_api('served_turn', 'SELECT');
SELECT let_api('outbox',      'INSERT');
