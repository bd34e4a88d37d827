-- +goose Up

-- When the message at "sequence" was stored, NULL if that is not known: a stream
-- that came back from a backup has another one there.
ALTER TABLE audit_progress ADD COLUMN stored_at timestamptz;
-- The number of records of the stream. An applier that has lost the lead sees that it
-- has risen, and does not overwrite a later record.
ALTER TABLE audit_progress ADD COLUMN turn bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE audit_progress DROP COLUMN stored_at, DROP COLUMN turn;
