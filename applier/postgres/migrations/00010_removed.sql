-- +goose Up

-- Outcomes that finished before this may have been removed. So an older delivery may
-- have been executed although it has no outcome.
ALTER TABLE retention ADD COLUMN removed_before timestamptz;
UPDATE retention SET removed_before = now() WHERE log_id > 0;

-- +goose Down
ALTER TABLE retention DROP COLUMN removed_before;
