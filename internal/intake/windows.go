package intake

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// lapseWindows ends the windows that admins have set for stays that these events move: what was agreed for other days
// does not apply to the new ones. It is done here, once, and not worked out later, so that the timeline
// says when and why, and a stay that is moved back does not open earlier unasked.
func (s saving) lapseWindows(ctx context.Context, tx pgx.Tx, writes *pgx.Batch) error {
	var moved []stay.Ref
	for ref, before := range s.stays.before {
		r := s.reservations[ref]
		changed := stay.Text(before.CheckInText) != stay.Text(r.CheckInText) ||
			stay.Text(before.CheckOutText) != stay.Text(r.CheckOutText)
		if before.VersionSeq > 0 && r.Status == pms.Confirmed && changed {
			moved = append(moved, ref)
		}
	}

	windows, err := store.WindowsOf(ctx, tx, moved)
	if err != nil {
		return err
	}

	for ref, o := range windows {
		r := s.reservations[ref]
		if o.WindowHolds(r) { // the same stay, written differently
			o.SetWindow(r, o.StartsAt, o.EndsAt)
		} else {
			line := lapsed(r, o, store.Entry{Ref: ref, At: s.now, Kind: stay.TimelineEvent})
			s.stays.entries = append(s.stays.entries, line)
			o.SetWindow(r, nil, nil)
		}
		store.SaveOverrides(writes, ref, o)
	}
	return nil
}

// lapsed adds a line to the timeline that a window has ended.
func lapsed(r store.Reservation, o store.Overrides, e store.Entry) store.Entry {
	e.Summary = "the PMS moved the stay: the access times that " + stay.Text(o.WindowBy) + " had set no longer apply"
	e.Detail = map[string]any{"status": "window_lapsed", "by": stay.Text(o.WindowBy), "reason": stay.Text(o.WindowWhy)}
	for name, at := range map[string]*time.Time{
		"starts_at": o.StartsAt, "ends_at": o.EndsAt, "check_in": r.CheckIn,
		"check_out": r.CheckOut,
	} {
		if at != nil {
			e.Detail[name] = pms.FormatInstant(*at)
		}
	}
	return e
}
