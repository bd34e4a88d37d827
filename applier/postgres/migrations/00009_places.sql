-- +goose Up

-- The delivery's first position in the stream, if its outcome is of a copy that a repair
-- has published. A replay counts from this position. NULL: the position of the outcome.
ALTER TABLE dead_letters ADD COLUMN stream_epoch integer;
ALTER TABLE dead_letters ADD COLUMN stream_sequence bigint;
ALTER TABLE dead_letters ADD COLUMN stream_index integer;

-- +goose Down
ALTER TABLE dead_letters DROP COLUMN stream_epoch, DROP COLUMN stream_sequence, DROP COLUMN stream_index;
