-- +goose NO TRANSACTION
-- +goose Up

-- When the message at that place was stored, by the broker's clock. A stream that
-- came back from a backup uses sequences again: of two places the one that is
-- stored clearly later is later. NULL: not known. Appliers settle while this runs,
-- so each table is locked by a transaction of its own.
ALTER TABLE user_fields ADD COLUMN IF NOT EXISTS stored_at timestamptz;
ALTER TABLE dead_letters ADD COLUMN IF NOT EXISTS stored_at timestamptz;

-- +goose Down
ALTER TABLE user_fields DROP COLUMN IF EXISTS stored_at;
ALTER TABLE dead_letters DROP COLUMN IF EXISTS stored_at;
