-- name: credentials
-- A user by account and name, with what a password is held against.
SELECT u.user_id::text, u.account_id::text, u.role, u.name, u.password_hash
  FROM users u JOIN accounts a USING (account_id)
 WHERE a.name = $1 AND u.name = $2 AND u.disabled_at IS NULL;

-- name: user_of_subject
-- The user linked to an identity at the issuer.
SELECT user_id::text, account_id::text, role, name FROM users WHERE oidc_subject = $1 AND disabled_at IS NULL;

-- name: user_named
-- A user by account and name, disabled or not.
SELECT u.user_id::text, u.account_id::text, u.role, u.name
  FROM users u JOIN accounts a USING (account_id)
 WHERE a.name = $1 AND u.name = $2;

-- name: users_of_account
-- The people of an account, and how they may sign in.
SELECT u.name, u.role, u.password_hash IS NOT NULL AS password, u.oidc_subject, u.disabled_at,
       (SELECT count(*) FROM tokens t WHERE t.user_id = u.user_id AND t.revoked_at IS NULL
                                        AND t.expires_at > clock_timestamp()) AS tokens
  FROM users u JOIN accounts a USING (account_id)
 WHERE a.name = $1 ORDER BY u.name;

-- name: link_subject
-- The identity at the issuer is this user's.
UPDATE users SET oidc_subject = $2 WHERE user_id = $1;

-- name: admit_user
-- A user who was disabled may sign in again.
UPDATE users SET disabled_at = NULL WHERE user_id = $1 AND disabled_at IS NOT NULL;

-- name: lock_user
-- A user by account and name, whose role may change. Whoever makes a token for them waits, or is seen by the next
-- statement.
SELECT user_id::text, role FROM users WHERE account_id = $1 AND name = $2 FOR NO KEY UPDATE;

-- name: change_role
-- What the user may do from now on.
UPDATE users SET role = $2 WHERE user_id = $1;

-- name: disable_user
-- The user may not sign in any more. Whoever makes a token for them holds this row: it is seen by the next statement.
UPDATE users SET disabled_at = coalesce(disabled_at, clock_timestamp()) WHERE user_id = $1;

-- name: set_password
-- What passwords are held against from now on.
UPDATE users SET password_hash = $2 WHERE user_id = $1;

-- name: add_token
-- A token of a user who may sign in, and has this role, made with one that has not been ended. The user's row is locked
-- before the token's, as by whoever ends all they have, or the two would deadlock.
WITH u AS MATERIALIZED (
    SELECT account_id, user_id FROM users
     WHERE user_id = $2 AND account_id = $3 AND role = $9 AND disabled_at IS NULL FOR SHARE
)
INSERT INTO tokens (token_id, account_id, user_id, kind, name, hash, made_with, expires_at)
SELECT $1, u.account_id, u.user_id, $4, $5, $6, $7, $8
  FROM u
 WHERE $7::uuid IS NULL OR EXISTS (
        SELECT FROM tokens p WHERE p.token_id = $7 AND p.user_id = u.user_id AND p.revoked_at IS NULL FOR SHARE)
RETURNING created_at;

-- name: origin_of_token
-- Whether it is a token or a session, and the token a session was opened with.
SELECT t.kind, m.token_id::text AS made_with, m.expires_at AS made_with_until
  FROM tokens t LEFT JOIN tokens m ON m.token_id = t.made_with WHERE t.token_id = $1;

-- name: live_tokens
-- The tokens of an account that are good now, or only those of one user; the newest first.
SELECT t.token_id::text, t.kind, t.name, t.user_id::text, u.name AS user, u.role, t.created_at, t.expires_at
  FROM tokens t JOIN users u USING (user_id)
 WHERE t.account_id = $1 AND ($2::uuid IS NULL OR t.user_id = $2)
   AND t.revoked_at IS NULL AND t.expires_at > clock_timestamp()
 ORDER BY t.created_at DESC, t.token_id LIMIT $3;

-- name: live_tokens_of_user
-- The tokens of a user that are good now, of one kind or of both.
SELECT token_id::text FROM tokens
 WHERE user_id = $1 AND ($2::text IS NULL OR kind = $2) AND revoked_at IS NULL AND expires_at > clock_timestamp()
 ORDER BY token_id;

-- name: find_token
-- A token of an account, or of one of its users.
SELECT token_id::text, revoked_at FROM tokens
 WHERE token_id = $1 AND account_id = $2 AND ($3::uuid IS NULL OR user_id = $3);

-- name: lock_tokens
-- Whoever makes a token with one of these waits, or is seen by the next statement. In id order.
SELECT token_id FROM tokens WHERE token_id = ANY ($1) ORDER BY token_id FOR UPDATE;

-- name: end_tokens
-- Ends these, and what was made with a token; what was made with a session stays.
WITH RECURSIVE ended AS (
    SELECT token_id, kind FROM tokens WHERE token_id = ANY ($1)
    UNION
    SELECT t.token_id, t.kind FROM tokens t JOIN ended e ON t.made_with = e.token_id AND e.kind = 'token'
), l AS MATERIALIZED (
    SELECT token_id FROM tokens
     WHERE token_id IN (SELECT token_id FROM ended) AND revoked_at IS NULL AND expires_at > clock_timestamp()
     ORDER BY token_id FOR UPDATE
)
UPDATE tokens t SET revoked_at = clock_timestamp() FROM l WHERE t.token_id = l.token_id AND t.revoked_at IS NULL
RETURNING t.token_id::text, t.account_id::text, t.user_id::text, t.expires_at, t.revoked_at;

-- name: last_revocation
-- Where the outbox ends for revocations.
SELECT max(seq) FROM outbox WHERE topic = 'access';

-- name: revocations_wait
-- Whether revocations up to there are still on their way to Kafka.
SELECT EXISTS (SELECT FROM outbox WHERE topic = 'access' AND seq <= $1);

-- name: open_tries
-- Rows to lock for the subjects of a try.
INSERT INTO sign_in_tries (subject, spent_until) SELECT s, 'epoch' FROM unnest($1::bytea[]) s ORDER BY s
ON CONFLICT DO NOTHING;

-- name: lock_tries
-- How far the subjects' tries are spent, and the time. In order, or two tries would deadlock.
SELECT subject, spent_until, clock_timestamp() AS now FROM sign_in_tries
 WHERE subject = ANY ($1) ORDER BY subject FOR UPDATE;

-- name: spend_tries
-- The try counts.
INSERT INTO sign_in_tries (subject, spent_until) SELECT * FROM unnest($1::bytea[], $2::timestamptz[]) t ORDER BY 1
ON CONFLICT (subject) DO UPDATE SET spent_until = excluded.spent_until;

-- name: forget_tries
-- Rows that say nothing any more.
DELETE FROM sign_in_tries WHERE subject IN (
    SELECT subject FROM sign_in_tries WHERE spent_until < clock_timestamp() LIMIT 100 FOR UPDATE SKIP LOCKED);

-- name: forgive_name
-- A name that was signed in with has no failures.
DELETE FROM sign_in_tries WHERE subject = $1;

-- name: forgive_address
-- A try that succeeded was none.
UPDATE sign_in_tries SET spent_until = spent_until - $2::interval WHERE subject = $1;

-- name: names_of_account
-- Who the users of an account are.
SELECT user_id::text AS user_id, name FROM users WHERE account_id = $1;
