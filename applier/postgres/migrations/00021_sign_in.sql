-- +goose Up

-- The networks from which accounts of the console have signed in lately. A flood of
-- wrong passwords from elsewhere does not keep them out.
CREATE TABLE sign_in_networks (
    admin   text NOT NULL REFERENCES admins (name),
    network text NOT NULL,
    used_at timestamptz NOT NULL,
    PRIMARY KEY (admin, network)
);
CREATE INDEX sign_in_networks_used ON sign_in_networks (used_at);

-- +goose Down
DROP TABLE sign_in_networks;
