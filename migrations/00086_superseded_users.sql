-- When Seam first showed that the user identity of an ACS user is another ACS user's or another person's. With removed_at
-- it is superseded: it exists and serves nobody. Old versions of the binary leave the column alone, and count such an
-- ACS user as deleted by somebody else.
-- +goose Up
ALTER TABLE acs_users ADD COLUMN contested_at timestamptz;

-- +goose Down
ALTER TABLE acs_users DROP COLUMN contested_at;
