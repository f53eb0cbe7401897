-- How people sign in: a password, an identity at the OpenID Connect issuer, or a token they were given.
ALTER TABLE users
    ADD COLUMN password_hash text,
    ADD COLUMN oidc_subject  text UNIQUE,
    ADD COLUMN disabled_at   timestamptz;

-- Every token there is, but for the token itself: only its SHA-256. Operational.
CREATE TABLE tokens (
    token_id   uuid PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES accounts,
    user_id    uuid        NOT NULL REFERENCES users,
    kind       text        NOT NULL CHECK (kind IN ('token', 'session')),
    name       text        NOT NULL,
    hash       bytea       NOT NULL,
    made_with  uuid        REFERENCES tokens ON DELETE SET NULL, -- ends with it, if that is a token
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE INDEX tokens_of_user ON tokens (user_id) WHERE revoked_at IS NULL;
CREATE INDEX tokens_of_account ON tokens (account_id) WHERE revoked_at IS NULL;
CREATE INDEX tokens_made_with ON tokens (made_with) WHERE made_with IS NOT NULL;

-- Whoever signs in has no account yet, and whoever ends a token may do so from the command line: the owner reads it.
SELECT wall('tokens', '');

-- How far the tries of a name, or of an address, are spent. The subject is a keyed hash. Operational.
CREATE TABLE sign_in_tries (
    subject     bytea PRIMARY KEY,
    spent_until timestamptz NOT NULL
);
COMMENT ON TABLE sign_in_tries IS 'no wall: keyed hashes of names and addresses, before there is an account';
CREATE INDEX sign_in_tries_spent ON sign_in_tries (spent_until);
