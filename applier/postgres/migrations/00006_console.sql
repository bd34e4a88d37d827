-- +goose Up

-- Who may sign in to the console. "password" is an argon2id hash in PHC form.
CREATE TABLE admins (
    name       text PRIMARY KEY,
    password   text NOT NULL,
    role       text NOT NULL CHECK (role IN ('viewer', 'admin')),
    disabled   boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL
);

-- "token" is the SHA-256 of what the browser has.
CREATE TABLE sessions (
    token      bytea PRIMARY KEY,
    admin      text NOT NULL REFERENCES admins (name),
    created_at timestamptz NOT NULL,
    used_at    timestamptz NOT NULL
);
CREATE INDEX sessions_admin ON sessions (admin);

-- Sign-ins that failed or are being decided, by the account's name and by the address.
-- They are in the database, so that a limit counts the sign-ins of all consoles.
CREATE TABLE sign_in_attempts (
    id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key text NOT NULL,
    at  timestamptz NOT NULL
);
CREATE INDEX sign_in_attempts_key ON sign_in_attempts (key, at);
CREATE INDEX sign_in_attempts_at ON sign_in_attempts (at);

-- Append-only: who changed what, and who saw a secret.
CREATE TABLE audit_trail (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    who         text NOT NULL,
    what        text NOT NULL,
    target_kind text NOT NULL,
    target_id   text NOT NULL,
    detail      json NOT NULL,
    at          timestamptz NOT NULL
);

-- +goose Down
DROP TABLE audit_trail, sign_in_attempts, sessions, admins;
