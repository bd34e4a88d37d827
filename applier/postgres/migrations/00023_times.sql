-- +goose NO TRANSACTION
-- +goose Up

-- No role writes a time that programs cannot read: one row with 'infinity' would take a
-- whole list away. Rows that are there are not read for it, so that a lock is short.
-- Appliers settle while this runs, so each table is locked by a transaction of its own.
-- Fields that are older than their column added_at have '-infinity' there.
-- +goose StatementBegin
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT t.oid::regclass AS of, string_agg(format('ADD CONSTRAINT %I CHECK (%I >= ''0001-01-01 00:00:00+00'' AND %I < ''10000-01-01 00:00:00+00'') NOT VALID',
            t.relname || '_' || a.attname || '_readable', a.attname, a.attname), ', ' ORDER BY a.attnum) AS checks
        FROM pg_attribute a JOIN pg_class t ON t.oid = a.attrelid
        WHERE t.relnamespace = current_schema()::regnamespace AND t.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            AND a.atttypid = 'timestamptz'::regtype AND (t.relname, a.attname) <> ('fields', 'added_at')
            AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conrelid = t.oid AND k.conname = t.relname || '_' || a.attname || '_readable')
        GROUP BY t.oid ORDER BY t.relname
    LOOP
        EXECUTE format('ALTER TABLE %s %s', c.of, c.checks);
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd

-- +goose Down
-- +goose StatementBegin
DO $$
DECLARE
    c record;
BEGIN
    FOR c IN
        SELECT conrelid::regclass AS of, conname FROM pg_constraint
        WHERE connamespace = current_schema()::regnamespace AND contype = 'c' AND conname LIKE '%\_readable'
    LOOP
        EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', c.of, c.conname);
        COMMIT;
    END LOOP;
END
$$;
-- +goose StatementEnd
