-- +goose Up

-- When the message at "sequence" was stored, NULL if that is not known: a stream
-- that came back from a backup has another one there.
ALTER TABLE audit_progress ADD COLUMN stored_at timestamptz;
-- What was recorded of the stream is counted, so that nobody who has lost the lead
-- records over what came after.
ALTER TABLE audit_progress ADD COLUMN turn bigint NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE audit_progress DROP COLUMN stored_at, DROP COLUMN turn;
