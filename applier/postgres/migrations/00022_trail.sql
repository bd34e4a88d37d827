-- +goose Up

-- "via" is console, command or api. "os_user" is who called the command, for the
-- operating system; "address" where a browser or a program is. "hash" is over the
-- row before and over this row, see audit_trail_hash.
ALTER TABLE audit_trail
    ADD COLUMN via     text NOT NULL DEFAULT 'console',
    ADD COLUMN os_user text NOT NULL DEFAULT '',
    ADD COLUMN address text NOT NULL DEFAULT '',
    ADD COLUMN hash    bytea;

-- The newest row. A trail whose last rows were deleted ends before it.
CREATE TABLE audit_trail_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    id       bigint NOT NULL,
    hash     bytea  NOT NULL
);
INSERT INTO audit_trail_head (id, hash) VALUES (0, '');

-- The functions name no schema, so they keep the one of the tables. Nobody can put a
-- temporary table before it.
SELECT set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

-- Each field has its length in bytes before it, so that no two rows are the same text.
-- +goose StatementBegin
CREATE FUNCTION audit_trail_hash(previous bytea, r audit_trail) RETURNS bytea
LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
SELECT sha256(previous || string_agg(convert_to(octet_length(convert_to(f, 'UTF8')) || ':' || f, 'UTF8'), ''::bytea ORDER BY n))
FROM unnest(ARRAY[
    r.id::text, to_char(r.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
    r.via, r.who, r.os_user, r.address, r.what, r.target_kind, r.target_id, r.detail::text
]) WITH ORDINALITY AS fields (f, n)
$$;
-- +goose StatementEnd

-- It runs as the owner of the tables: the services cannot write the head. Ids have no
-- gaps, and the lock on the head puts all rows into one order. Nobody dates a row back,
-- or gives it a time that cannot be read: 'infinity' would hide the whole trail.
-- +goose StatementBegin
CREATE FUNCTION audit_trail_chain() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    head audit_trail_head;
BEGIN
    SELECT * INTO STRICT head FROM audit_trail_head FOR UPDATE;
    NEW.id := head.id + 1;
    NEW.at := clock_timestamp();
    NEW.hash := audit_trail_hash(head.hash, NEW);
    UPDATE audit_trail_head SET id = NEW.id, hash = NEW.hash;
    RETURN NEW;
END
$$;
-- +goose StatementEnd
REVOKE EXECUTE ON FUNCTION audit_trail_chain() FROM PUBLIC;

-- +goose StatementBegin
CREATE FUNCTION audit_trail_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE insufficient_privilege USING MESSAGE = 'the audit trail is append-only';
END
$$;
-- +goose StatementEnd

-- The rows that are there begin the chain. No row comes between: the lock of ALTER
-- TABLE above is held.
-- +goose StatementBegin
DO $$
DECLARE
    r audit_trail;
    last bytea := '';
BEGIN
    FOR r IN SELECT * FROM audit_trail ORDER BY id LOOP
        last := audit_trail_hash(last, r);
        UPDATE audit_trail SET hash = last WHERE id = r.id;
        UPDATE audit_trail_head SET id = r.id, hash = last;
    END LOOP;
END
$$;
-- +goose StatementEnd

CREATE TRIGGER audit_trail_chain BEFORE INSERT ON audit_trail FOR EACH ROW EXECUTE FUNCTION audit_trail_chain();
CREATE TRIGGER audit_trail_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail EXECUTE FUNCTION audit_trail_refuse();

-- +goose Down
DROP TRIGGER audit_trail_append_only ON audit_trail;
DROP TRIGGER audit_trail_chain ON audit_trail;
DROP FUNCTION audit_trail_refuse(), audit_trail_chain(), audit_trail_hash(bytea, audit_trail);
DROP TABLE audit_trail_head;
ALTER TABLE audit_trail DROP COLUMN hash, DROP COLUMN via, DROP COLUMN os_user, DROP COLUMN address;
