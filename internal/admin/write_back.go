package admin

import (
	"context"
	"errors"
	"slices"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// withWriteBack fills in the state of a reservation's field at its PMS; nil where its source writes nothing back.
func (s Reservations) withWriteBack(v View) View {
	source, known := s.source(v.Reservation.Source)
	if !known || source.WriteBack == nil {
		return v
	}
	v.WriteBack = writeBackOf(v)
	if v.WriteBack != nil {
		v.WriteBack.To, v.WriteBack.Field = source.WriteBack.Preset.Name, source.WriteBack.Field
	}
	return v
}

// writeBackOf is what is known of a reservation's field. The field belongs to the booking: it may hold the texts of
// other reservations, and not this one's.
func writeBackOf(v View) *stay.WriteBack {
	over := v.Reservation.Status != pms.Confirmed ||
		slices.Contains([]string{stay.KeyRevoking, stay.KeyRevoked, stay.KeyExpired}, v.Key.Status)
	row := v.WriteBackOf
	switch {
	case row == nil && over:
		return nil
	case row == nil:
		return &stay.WriteBack{Status: stay.WriteBackPending}
	}
	w := &stay.WriteBack{Status: row.Status, Reason: row.Reason, LastError: row.LastError, At: &row.ChangedAt}
	if row.Status == stay.WriteBackWritten && !slices.Contains(row.Parts, v.Reservation.ReservationID) {
		w.Status = stay.WriteBackPending
		if over {
			w.Status = stay.WriteBackCleared
		}
	}
	return w
}

// Shown returns reservations as the faces show them, with their guests' links: for what is written into a PMS, not
// for an actor. One that does not exist is missing.
func (s Reservations) Shown(ctx context.Context, refs []stay.Ref) (map[stay.Ref]View, error) {
	shown := make(map[stay.Ref]View, len(refs))
	for _, ref := range refs {
		v, err := s.view(ctx, ref)
		switch {
		case err == nil:
			shown[ref] = v
		case !errors.Is(err, store.ErrNotFound):
			return nil, err
		}
	}
	return shown, nil
}

// repeatWriteBack has a reservation's field compared with what it should hold.
func (s Actions) repeatWriteBack(ctx context.Context, v View) error {
	if v.WriteBackOf == nil {
		return nil
	}
	return s.store.WriteBacks.Repeat(ctx, v.Reservation.Source, store.BookingOf(v.Reservation))
}
