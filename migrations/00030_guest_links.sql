-- +goose NO TRANSACTION
-- The guest's side: links, and what was handed out to phones through them. It holds no link, token or instant key:
-- only a hash of each link, and the ids of Seam's objects. Old versions of the binary leave it alone; the triggers
-- also see their changes. Each statement locks one table and can be repeated.
-- +goose Up

-- A stay as its guest sees it, from the first time that its link is shown. No foreign key: what was handed out is
-- taken back even after its reservation is gone.
CREATE TABLE IF NOT EXISTS guest_stays (
    source         text          NOT NULL,
    reservation_id text          NOT NULL,
    counter        integer       NOT NULL DEFAULT 0,  -- of its link: the link of another guest, or a renewed one, has the next
    guest_key      text          NOT NULL DEFAULT '', -- whose link it is: an HMAC; '' while no e-mail address is known
    opened_at      timestamptz,                       -- when this link was first used
    openings       integer       NOT NULL DEFAULT 0,  -- how often
    recent         timestamptz[] NOT NULL DEFAULT '{}', -- the last uses, for the limit
    changes        bigint        NOT NULL DEFAULT 0,  -- of its key, so that one during a cleanup is not lost
    due_at         timestamptz,                       -- when to check whether what was handed out is still valid; null: nothing was
    tries          integer       NOT NULL DEFAULT 0,  -- failed ones in a row
    lease_token    uuid,                              -- one replica at a time hands out, or takes back
    lease_until    timestamptz,
    PRIMARY KEY (source, reservation_id)
) WITH (fillfactor = 80);
CREATE INDEX IF NOT EXISTS guest_stays_due ON guest_stays (due_at) WHERE due_at IS NOT NULL;

-- SHA-256 of the id in a link. A link is valid while its counter is the stay's.
CREATE TABLE IF NOT EXISTS guest_links (
    id_hash        bytea       PRIMARY KEY,
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    counter        integer     NOT NULL,
    created_at     timestamptz NOT NULL,
    FOREIGN KEY (source, reservation_id) REFERENCES guest_stays ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS guest_links_stay ON guest_links (source, reservation_id);

-- An instant key or a client session at Seam. A row without seam_id is a mark: its call is under way, or its answer
-- was lost.
CREATE TABLE IF NOT EXISTS handed_out (
    id                bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source            text        NOT NULL,
    reservation_id    text        NOT NULL,
    kind              text        NOT NULL CHECK (kind IN ('instant_key', 'session')),
    user_identity_id  text        NOT NULL,
    guest_key         text        NOT NULL,          -- whom it was handed to
    acs_credential_id text        NOT NULL,          -- the mobile key that it shows: it ends with that key
    marked_at         timestamptz NOT NULL,          -- before the call
    lost_at           timestamptz,                   -- the end of a call without an answer
    looks             integer     NOT NULL DEFAULT 0, -- how often Seam was searched for what the call may have left
    seam_id           text,
    session_id        text,                          -- the client session of an instant key
    expires_at        timestamptz,
    uses              integer     NOT NULL DEFAULT 0, -- how often it was handed out
    ending_at         timestamptz,                   -- never handed out again; it will be removed at Seam
    deleted_at        timestamptz,                   -- Seam accepted the deletion
    FOREIGN KEY (source, reservation_id) REFERENCES guest_stays
);
CREATE INDEX IF NOT EXISTS handed_out_stay ON handed_out (source, reservation_id);
CREATE INDEX IF NOT EXISTS handed_out_identity ON handed_out (user_identity_id);

-- Every change of a key schedules a check of what was handed out for it, in the same commit. Both the writer of a key
-- and the code that hands out lock the key first.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION handed_out_may_end() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    stay record;
BEGIN
    IF TG_OP = 'DELETE' THEN
        stay := OLD;
    ELSE
        stay := NEW;
    END IF;
    UPDATE guest_stays SET due_at = 'epoch', changes = changes + 1
        WHERE source = stay.source AND reservation_id = stay.reservation_id;
    RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE OR REPLACE TRIGGER handed_out_may_end AFTER UPDATE ON mobile_keys FOR EACH ROW
    WHEN ((OLD.status, OLD.sequence, OLD.generation) IS DISTINCT FROM (NEW.status, NEW.sequence, NEW.generation)) EXECUTE FUNCTION handed_out_may_end();
CREATE OR REPLACE TRIGGER handed_out_may_end_gone AFTER DELETE ON mobile_keys FOR EACH ROW EXECUTE FUNCTION handed_out_may_end();
CREATE OR REPLACE TRIGGER handed_out_may_end AFTER UPDATE ON acs_users FOR EACH ROW
    WHEN ((OLD.user_identity_id, OLD.acs_credential_id, OLD.removed_at IS NULL, OLD.deleted_at IS NULL)
        IS DISTINCT FROM (NEW.user_identity_id, NEW.acs_credential_id, NEW.removed_at IS NULL, NEW.deleted_at IS NULL)) EXECUTE FUNCTION handed_out_may_end();
CREATE OR REPLACE TRIGGER handed_out_may_end_gone AFTER DELETE ON acs_users FOR EACH ROW EXECUTE FUNCTION handed_out_may_end();

-- +goose Down
DROP TRIGGER IF EXISTS handed_out_may_end_gone ON acs_users;
DROP TRIGGER IF EXISTS handed_out_may_end ON acs_users;
DROP TRIGGER IF EXISTS handed_out_may_end_gone ON mobile_keys;
DROP TRIGGER IF EXISTS handed_out_may_end ON mobile_keys;
DROP FUNCTION IF EXISTS handed_out_may_end();
DROP TABLE IF EXISTS handed_out, guest_links, guest_stays;
