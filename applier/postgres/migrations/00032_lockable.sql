-- +goose Up

-- A role may lock a row if it may update one of its columns. An applier locks users and
-- changes nothing about them: this column, which is always empty, is the only one that
-- it may update.
ALTER TABLE users
    ADD COLUMN lockable boolean,
    ADD CONSTRAINT users_lockable_empty CHECK (lockable IS NULL) NOT VALID;

-- +goose Down
ALTER TABLE users DROP COLUMN lockable;
