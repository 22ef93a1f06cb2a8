-- The address that a stay's guest had when a note was written: a PMS may give the stay to another guest later, and the first one's
-- erasure must still find the note. Old versions of the binary write notes without it; those go with the stay's guest.
-- +goose Up
ALTER TABLE stay_notes ADD COLUMN guest_email text;
UPDATE stay_notes n SET guest_email = r.guest_email FROM reservations r
    WHERE r.source = n.source AND r.reservation_id = n.reservation_id;

-- +goose Down
ALTER TABLE stay_notes DROP COLUMN guest_email;
