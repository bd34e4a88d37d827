-- +goose Up

-- The oldest program that can still work with these tables, by the number of the
-- newest migration that it contains. Every program reads it before it writes. A
-- migration raises it when older programs cannot work with its result; one that
-- only adds what has a default leaves it.
CREATE TABLE schema_compatibility (
    only_row     boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    least_reader bigint NOT NULL
);
INSERT INTO schema_compatibility (least_reader) VALUES (11);

-- +goose Down
DROP TABLE schema_compatibility;
