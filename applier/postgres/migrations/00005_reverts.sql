-- +goose Up

-- Append-only: deliveries whose effect was taken back. A row is written in the
-- transaction of the opposite entries in gamification_logs and field_history,
-- whose ordinal is that of the entry they undo, below zero: each is undone once.
CREATE TABLE reverts (
    delivery_id uuid PRIMARY KEY,
    reverted_by text NOT NULL,
    note        text NOT NULL,
    at          timestamptz NOT NULL
);

-- NULL: the revert took the value away, and there was none before.
ALTER TABLE field_history ALTER COLUMN value DROP NOT NULL;

-- A field that was deleted and added again has none of its earlier values, although
-- the history keeps them.
ALTER TABLE fields ADD COLUMN added_at timestamptz NOT NULL DEFAULT '-infinity';
ALTER TABLE fields ALTER COLUMN added_at SET DEFAULT clock_timestamp();

-- +goose Down
ALTER TABLE fields DROP COLUMN added_at;
DELETE FROM field_history WHERE value IS NULL;
ALTER TABLE field_history ALTER COLUMN value SET NOT NULL;
DROP TABLE reverts;
