-- What an intent that was never POSTed says of itself in `dispatches`, its row says too: both follow from the log.
UPDATE attempts SET reason = 'intent_expired' WHERE refused AND reason IS NULL;
