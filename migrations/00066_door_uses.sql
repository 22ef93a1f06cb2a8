-- What Seam reported about a guest at the doors: the first opening, and the last refusal. Both are events, so they are
-- numbered like every change of a stay. Old versions of the binary leave it alone.
-- +goose Up
CREATE TABLE door_uses (
    source              text        NOT NULL,
    reservation_id      text        NOT NULL,
    guest_key           text        NOT NULL, -- whose, as in acs_users: another guest of the stay has not used a door
    first_used_at       timestamptz,
    first_used_entrance text,
    denied_at           timestamptz,          -- the last one, those within ten minutes of it left out
    denied_reason       text,
    denied_entrance     text,
    PRIMARY KEY (source, reservation_id),
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
);
CREATE TRIGGER door_used AFTER INSERT OR UPDATE ON door_uses FOR EACH ROW EXECUTE FUNCTION gates_changed();

-- +goose Down
DROP TABLE door_uses;
