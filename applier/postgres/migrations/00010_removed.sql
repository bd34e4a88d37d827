-- +goose Up

-- Whatever finished before may have been removed with its outcome: what is not known
-- and older may have been executed all the same.
ALTER TABLE retention ADD COLUMN removed_before timestamptz;
UPDATE retention SET removed_before = now() WHERE log_id > 0;

-- +goose Down
ALTER TABLE retention DROP COLUMN removed_before;
