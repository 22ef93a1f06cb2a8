-- What the staff writes about stays. It may be about the guest, so it goes with the guest's data. Old versions of the binary leave
-- the table alone, and remove notes with the reservation.
-- +goose Up
CREATE TABLE stay_notes (
    note_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source         text        NOT NULL,
    reservation_id text        NOT NULL,
    at             timestamptz NOT NULL,
    author         text        NOT NULL,
    body           text        NOT NULL,
    FOREIGN KEY (source, reservation_id) REFERENCES reservations ON DELETE CASCADE
);
CREATE INDEX stay_notes_stay ON stay_notes (source, reservation_id, note_id);

-- +goose Down
DROP TABLE stay_notes;
