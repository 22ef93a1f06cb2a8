-- Sessions of people whom an identity provider has signed in. Their token_hash is the provider's ID, which is no token's: old
-- versions of the binary ask these people to sign in.
-- +goose Up
ALTER TABLE sessions
    ADD COLUMN subject text   NOT NULL DEFAULT '',   -- identifies the person at the provider; '' for a session of a token
    ADD COLUMN login   text   NOT NULL DEFAULT '',   -- readable and unique
    ADD COLUMN groups  text[] NOT NULL DEFAULT '{}'; -- of the person, as far as roles name them

-- +goose Down
DELETE FROM sessions WHERE subject <> '';
ALTER TABLE sessions DROP COLUMN subject, DROP COLUMN login, DROP COLUMN groups;
