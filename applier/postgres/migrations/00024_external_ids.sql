-- +goose Up

-- The ids that other systems have for users, compared exactly. A transaction that
-- writes here has locked the user's row.
CREATE TABLE external_ids (
    community text NOT NULL,
    kind      text NOT NULL,
    value     text NOT NULL,
    user_id   uuid NOT NULL REFERENCES users (id),
    PRIMARY KEY (community, kind, value)
);
-- It serves lookups by user_id only, also where all indexes cost the same.
CREATE UNIQUE INDEX external_ids_user ON external_ids (user_id, kind) WHERE user_id IS NOT NULL;

-- A user may be known by an external id alone. One that was erased has no name left,
-- and keeps its id: the ledger needs it.
ALTER TABLE users DROP CONSTRAINT users_check;
ALTER TABLE users
    ADD COLUMN erased_at timestamptz,
    ADD CONSTRAINT users_erased_at_readable CHECK (erased_at >= '0001-01-01 00:00:00+00' AND erased_at < '10000-01-01 00:00:00+00') NOT VALID;

-- +goose Down
ALTER TABLE users DROP COLUMN erased_at;
DROP TABLE external_ids;
ALTER TABLE users ADD CONSTRAINT users_check CHECK (email IS NOT NULL OR username IS NOT NULL) NOT VALID;
