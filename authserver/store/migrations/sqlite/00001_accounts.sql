-- Forward only. Times are Unix milliseconds. Every table of a tenant carries
-- org_id, and foreign keys inside a tenant are composite, so that no row can tie
-- one organization's things to another's.

-- +goose Up
CREATE TABLE organization (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL,
    domain     TEXT    NOT NULL,
    type       TEXT    NOT NULL CHECK (type IN ('enterprise', 'teams')),
    created_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT;

CREATE TABLE account (
    id                  TEXT    NOT NULL PRIMARY KEY,
    org_id              TEXT    NOT NULL REFERENCES organization (id),
    username            TEXT    NOT NULL,
    username_ci         TEXT    NOT NULL UNIQUE,
    email               TEXT    NOT NULL,
    email_ci            TEXT    NOT NULL,
    password_phc        TEXT    NOT NULL,
    password_changed_at INTEGER NOT NULL,
    active              INTEGER NOT NULL CHECK (active IN (0, 1)),
    locked_at           INTEGER,
    created_at          INTEGER NOT NULL,
    created_by          TEXT    NOT NULL,
    deleted_at          INTEGER,
    UNIQUE (org_id, id),
    UNIQUE (org_id, email_ci)
) STRICT;

-- A name stays here when its service is gone: resource servers go on trusting it.
-- Only the server's own "auth" has no owner.
CREATE TABLE service (
    name       TEXT    NOT NULL PRIMARY KEY,
    owner_org  TEXT             REFERENCES organization (id),
    claimed_at INTEGER NOT NULL,
    claimed_by TEXT    NOT NULL,
    retired_at INTEGER,
    CHECK (owner_org IS NOT NULL OR name = 'auth'),
    UNIQUE (name, owner_org)
) STRICT;
CREATE INDEX service_by_owner ON service (owner_org);

-- The catalogue. Parts hold no dot, so a slug has one reading.
CREATE TABLE permission (
    id          INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    service     TEXT    NOT NULL REFERENCES service (name),
    resource    TEXT    NOT NULL,
    action      TEXT    NOT NULL,
    slug        TEXT    NOT NULL GENERATED ALWAYS AS (service || '.' || resource || '.' || action) STORED UNIQUE,
    description TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    deleted_at  INTEGER,
    CHECK (instr(service || resource || action, '.') = 0),
    UNIQUE (id, service),
    UNIQUE (service, resource, action)
) STRICT;

-- Which organization may use which permission, and why. owner_org makes the
-- reason 'owner' true by foreign key: it is NULL, and unchecked, for the others.
CREATE TABLE entitlement (
    org_id        TEXT    NOT NULL REFERENCES organization (id),
    permission_id INTEGER NOT NULL,
    service       TEXT    NOT NULL,
    source        TEXT    NOT NULL CHECK (source IN ('owner', 'grant', 'system')),
    owner_org     TEXT    GENERATED ALWAYS AS (CASE WHEN source = 'owner' THEN org_id END) STORED,
    created_at    INTEGER NOT NULL,
    created_by    TEXT    NOT NULL,
    CHECK ((source = 'system') = (service = 'auth')),
    PRIMARY KEY (org_id, permission_id),
    FOREIGN KEY (permission_id, service) REFERENCES permission (id, service),
    FOREIGN KEY (service, owner_org) REFERENCES service (name, owner_org)
) STRICT;
CREATE INDEX entitlement_by_permission ON entitlement (permission_id, service);
CREATE INDEX entitlement_by_service ON entitlement (service, owner_org);

CREATE TABLE role (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    org_id     TEXT    NOT NULL REFERENCES organization (id),
    name       TEXT    NOT NULL,
    name_ci    TEXT    NOT NULL,
    type       TEXT    NOT NULL CHECK (type IN ('system', 'custom')),
    builtin    TEXT             CHECK (builtin IN ('owner', 'admin', 'user')),
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    CHECK ((type = 'system') = (builtin IS NOT NULL)),
    UNIQUE (org_id, id),
    UNIQUE (org_id, name_ci),
    UNIQUE (org_id, builtin)
) STRICT;

CREATE TABLE role_permission (
    org_id        TEXT    NOT NULL,
    role_id       INTEGER NOT NULL,
    permission_id INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    created_by    TEXT    NOT NULL,
    PRIMARY KEY (org_id, role_id, permission_id),
    FOREIGN KEY (org_id, role_id) REFERENCES role (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, permission_id) REFERENCES entitlement (org_id, permission_id) ON DELETE CASCADE
) STRICT;
CREATE INDEX role_permission_by_permission ON role_permission (org_id, permission_id);

CREATE TABLE account_role (
    org_id     TEXT    NOT NULL,
    account_id TEXT    NOT NULL,
    role_id    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT    NOT NULL,
    PRIMARY KEY (org_id, account_id, role_id),
    FOREIGN KEY (org_id, account_id) REFERENCES account (org_id, id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, role_id) REFERENCES role (org_id, id) ON DELETE CASCADE
) STRICT;
CREATE INDEX account_role_by_role ON account_role (org_id, role_id);

INSERT INTO service (name, owner_org, claimed_at, claimed_by) VALUES ('auth', NULL, 0, '');
INSERT INTO permission (id, service, resource, action, description, created_at, created_by) VALUES
    (1,  'auth', 'user',       'read',   'See users',              0, ''),
    (2,  'auth', 'user',       'write',  'Invite and change users', 0, ''),
    (3,  'auth', 'user',       'delete', 'Delete users',           0, ''),
    (4,  'auth', 'user',       'all',    'Everything on users',    0, ''),
    (5,  'auth', 'role',       'read',   'See roles',              0, ''),
    (6,  'auth', 'role',       'write',  'Make, assign and change roles', 0, ''),
    (7,  'auth', 'role',       'delete', 'Delete roles',           0, ''),
    (8,  'auth', 'role',       'all',    'Everything on roles',    0, ''),
    (9,  'auth', 'permission', 'read',   'See permissions',        0, ''),
    (10, 'auth', 'permission', 'write',  'Make permissions',       0, ''),
    (11, 'auth', 'permission', 'delete', 'Delete permissions',     0, ''),
    (12, 'auth', 'permission', 'all',    'Everything on permissions', 0, '');
