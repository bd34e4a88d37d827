-- +goose Up

-- What a request has next to its headers and body. NULL stands for POST, and for no
-- query. A query may be no UTF-8.
ALTER TABLE dead_letters ADD COLUMN method text, ADD COLUMN query bytea;
ALTER TABLE parked ADD COLUMN method text, ADD COLUMN query bytea;

-- +goose Down
ALTER TABLE dead_letters DROP COLUMN method, DROP COLUMN query;
ALTER TABLE parked DROP COLUMN method, DROP COLUMN query;
