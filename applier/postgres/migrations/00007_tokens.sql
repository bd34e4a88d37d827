-- +goose Up

-- Bearer tokens of the read API: SHA-256 of 256 random bits. A row stays when its
-- token is revoked, and says by whom.
CREATE TABLE tokens (
    sha256       bytea PRIMARY KEY,
    community    text NOT NULL,
    name         text NOT NULL,
    created_by   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at   timestamptz, -- NULL: never
    last_used_at timestamptz, -- to the minute
    revoked_by   text,
    revoked_at   timestamptz,
    CHECK ((revoked_by IS NULL) = (revoked_at IS NULL))
);
CREATE UNIQUE INDEX tokens_name ON tokens (community, name) WHERE revoked_at IS NULL;

-- +goose Down
DROP TABLE tokens;
