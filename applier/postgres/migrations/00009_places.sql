-- +goose Up

-- Where the delivery was in the stream first, if its outcome is that of a copy
-- which a repair has published: a replay counts as of then. NULL: where the
-- outcome says.
ALTER TABLE dead_letters ADD COLUMN stream_epoch integer;
ALTER TABLE dead_letters ADD COLUMN stream_sequence bigint;
ALTER TABLE dead_letters ADD COLUMN stream_index integer;

-- +goose Down
ALTER TABLE dead_letters DROP COLUMN stream_epoch, DROP COLUMN stream_sequence, DROP COLUMN stream_index;
