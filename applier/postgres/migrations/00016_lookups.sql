-- +goose NO TRANSACTION
-- +goose Up

-- Each lookup of the statements that settle has one index that can serve it. Their
-- plans are kept, and may be made while the tables are empty: then all indexes
-- cost the same. A full index on (webhook_id, delivery_id) also serves a lookup by
-- delivery_id, by reading all of it. An index of what is not NULL serves only
-- conditions on that column. webhook_id is never NULL, so it has all rows.
SET lock_timeout = 0;
DROP INDEX CONCURRENTLY IF EXISTS outcomes_webhook_next;
CREATE INDEX CONCURRENTLY outcomes_webhook_next ON outcomes (webhook_id, delivery_id) WHERE webhook_id IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS users_email_next;
CREATE UNIQUE INDEX CONCURRENTLY users_email_next ON users (community, email_key) WHERE email_key IS NOT NULL;
DROP INDEX CONCURRENTLY IF EXISTS users_username_next;
CREATE UNIQUE INDEX CONCURRENTLY users_username_next ON users (community, username_key) WHERE username_key IS NOT NULL;
RESET lock_timeout;

-- An index is replaced in one transaction, so no moment is without it. Each table
-- has a transaction of its own: appliers settle while this runs, and lock users
-- before outcomes.
-- +goose StatementBegin
DROP INDEX outcomes_webhook;
ALTER INDEX outcomes_webhook_next RENAME TO outcomes_webhook;
-- +goose StatementEnd
-- +goose StatementBegin
DROP INDEX users_email, users_username;
ALTER INDEX users_email_next RENAME TO users_email;
ALTER INDEX users_username_next RENAME TO users_username;
-- +goose StatementEnd

-- +goose Down
DROP INDEX outcomes_webhook, users_email, users_username;
CREATE INDEX outcomes_webhook ON outcomes (webhook_id, delivery_id);
CREATE UNIQUE INDEX users_email ON users (community, email_key);
CREATE UNIQUE INDEX users_username ON users (community, username_key);
