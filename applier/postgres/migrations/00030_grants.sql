-- +goose Up

-- An owner may do everything. A member has a right in each community that it is granted,
-- '*' for all communities. Accounts that could change things could do everything; the
-- others looked at all communities.
ALTER TABLE admins DROP CONSTRAINT admins_role_check;

CREATE TABLE admin_grants (
    admin     text NOT NULL REFERENCES admins (name) ON DELETE CASCADE,
    community text NOT NULL,
    "right"   text NOT NULL CHECK ("right" IN ('viewer', 'editor', 'admin')),
    PRIMARY KEY (admin, community)
);

INSERT INTO admin_grants (admin, community, "right") SELECT name, '*', 'viewer' FROM admins WHERE role = 'viewer';
UPDATE admins SET role = CASE role WHEN 'admin' THEN 'owner' ELSE 'member' END;

ALTER TABLE admins ADD CONSTRAINT admins_role_check CHECK (role IN ('owner', 'member'));

-- +goose Down
ALTER TABLE admins DROP CONSTRAINT admins_role_check;
-- A member may do no more than before: it looks, and only where it was granted.
DELETE FROM sessions WHERE admin IN (SELECT name FROM admins WHERE role = 'member');
UPDATE admins SET disabled = true WHERE role = 'member'
    AND NOT EXISTS (SELECT FROM admin_grants g WHERE g.admin = admins.name AND g.community = '*');
UPDATE admins SET role = CASE role WHEN 'owner' THEN 'admin' ELSE 'viewer' END;
ALTER TABLE admins ADD CONSTRAINT admins_role_check CHECK (role IN ('viewer', 'admin'));
DROP TABLE admin_grants;
