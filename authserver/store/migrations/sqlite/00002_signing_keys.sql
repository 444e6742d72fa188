-- Forward only. sealed is the private part under the master key, and NULL once
-- the key has signed for the last time.

-- +goose Up
CREATE TABLE signing_key (
    kid        TEXT    NOT NULL PRIMARY KEY,
    alg        TEXT    NOT NULL,
    public_jwk BLOB    NOT NULL,
    sealed     BLOB,
    publish_at INTEGER NOT NULL,
    sign_from  INTEGER NOT NULL,
    sign_until INTEGER NOT NULL,
    retire_at  INTEGER NOT NULL,
    revoked_at INTEGER,
    CHECK (publish_at <= sign_from AND sign_from < sign_until AND sign_until <= retire_at)
) STRICT;

-- One row: a counter that every change of the ring raises.
CREATE TABLE key_ring (
    one        INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    generation INTEGER NOT NULL
) STRICT;
INSERT INTO key_ring (one, generation) VALUES (1, 0);
