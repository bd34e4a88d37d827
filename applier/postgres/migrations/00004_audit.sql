-- +goose Up

-- How many gamification logs the delivery wrote: so a missing one is noticed, and
-- whose it is. NULL for rows that are older than this column.
ALTER TABLE outcomes ADD COLUMN changes smallint;

-- +goose Down
ALTER TABLE outcomes DROP COLUMN changes;
