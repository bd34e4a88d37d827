-- +goose Up

-- Where somebody signed in from, so that people recognise their sessions.
ALTER TABLE sessions ADD COLUMN address text NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE sessions DROP COLUMN address;
