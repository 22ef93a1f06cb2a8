package intake

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Preview is the expected result of applying events again.
type Preview struct {
	Events      []store.Event // with the status and reason that they would get
	Differences []Difference  // of the reservations and listings that would change; the others are left out
}

// Difference is how a reservation or a listing would change.
type Difference struct {
	// of the reservation or listing
	Source string `json:"source"`
	// "" for a listing
	ReservationID string `json:"reservation_id,omitempty" doc:"Set for a reservation."`
	// "" for a reservation
	ListingID string            `json:"listing_id,omitempty" doc:"Set for a listing."`
	Fields    []FieldDifference `json:"fields" nullable:"false"` // those that would change
}

// FieldDifference is how one field would change.
type FieldDifference struct {
	Field string  `json:"field" example:"check_out"`                    // as REST names it
	From  *string `json:"from" doc:"The present value; null for none."` // present value, as text; nil: none
	// the value after the replay, as text; nil: none
	To *string `json:"to" doc:"The value after the replay."`
}

var errPreviewed = errors.New("this was only a preview")

// PreviewReplay finds out what applying events again would change. It does everything that applying does, and rolls
// it back. Mapping them, which may take long, comes before its transaction.
func (a *Applier) PreviewReplay(ctx context.Context, events []store.Event) (Preview, error) {
	var p Preview
	inOrder := slices.SortedFunc(slices.Values(events), func(x, y store.Event) int { return cmp.Compare(x.Seq, y.Seq) })
	now := a.now().UTC()
	var all []*mapped
	for some := range slices.Chunk(inOrder, previewAtOnce) {
		events, err := a.mapAgain(ctx, some)
		if err != nil {
			return p, err
		}
		all = append(all, events...)
	}

	err := a.store.InTx(ctx, func(tx pgx.Tx) error {
		l := newLocking(newRows(now, a.source), copies(all))
		if err := l.lock(ctx, tx, false); err != nil {
			return err
		}

		before := maps.Clone(l.listings)
		f := newFolding(l)
		f.fold(l.events)

		p.Events = nil
		for _, m := range l.events {
			if m.awaiting {
				reason := "documents of the PMS would be fetched first"
				m.Status, m.Reason = stay.EventAccepted, &reason
			}
			p.Events = append(p.Events, m.Event)
		}
		p.Differences = f.differences(before)
		return errPreviewed
	})
	if errors.Is(err, errPreviewed) {
		return p, nil
	}
	return p, err
}

// copies are copies of mapped events, for a transaction that may be repeated: folding writes to them.
func copies(events []*mapped) []*mapped {
	list := make([]*mapped, len(events))
	for i, m := range events {
		copied := *m
		copied.prepare()
		list[i] = &copied
	}
	return list
}

// previewAtOnce is how many bodies a preview holds in memory.
const previewAtOnce = 8

// mapAgain maps events. Nothing waits for them: they may take as long as they need.
func (a *Applier) mapAgain(ctx context.Context, events []store.Event) ([]*mapped, error) {
	events, err := a.store.Events.WithBodies(ctx, events)
	if err != nil {
		return nil, err
	}
	var list []*mapped
	for _, e := range events {
		m, err := mapEvent(ctx, a.source(e.Source), e)
		if err != nil {
			m.says, m.changes = pms.Event{
				Type:    m.says.Type,
				Invalid: []pms.FieldError{{Field: "body", Message: err.Error()}},
			}, nil
		}
		m.prepare()
		list = append(list, m)
	}
	return list, nil
}

// differences lists what the events have changed; listings is how they were before.
func (f *folding) differences(listings map[stay.ListingRef]store.Listing) []Difference {
	var list []Difference
	for ref, before := range f.stays.before {
		if d := (Difference{
			Source: ref.Source, ReservationID: ref.ReservationID,
			Fields: reservationDiffers(before, f.reservations[ref]),
		}); len(d.Fields) > 0 {
			list = append(list, d)
		}
	}

	for ref := range f.listed {
		if d := (Difference{
			Source: ref.Source, ListingID: ref.ListingID,
			Fields: listingDiffers(listings[ref], f.listings[ref]),
		}); len(d.Fields) > 0 {
			list = append(list, d)
		}
	}

	slices.SortFunc(list, func(x, y Difference) int {
		return stay.ListingRef{
			Source:    x.Source,
			ListingID: x.ReservationID + x.ListingID,
		}.Compare(stay.ListingRef{
			Source:    y.Source,
			ListingID: y.ReservationID + y.ListingID,
		})
	})
	return list
}

func reservationDiffers(x, y store.Reservation) []FieldDifference {
	var f fieldDifferences
	f.add("status", stay.OrNil(x.Status), stay.OrNil(y.Status))
	f.add("listing_id", x.ListingID, y.ListingID)
	f.add("guest_email", x.GuestEmail, y.GuestEmail)
	f.add("guest_name", x.GuestName, y.GuestName)
	f.add("guest_phone", x.GuestPhone, y.GuestPhone)
	f.add("guest_language", x.GuestLanguage, y.GuestLanguage)
	f.add("check_in", instantOrText(x, false), instantOrText(y, false))
	f.add("check_out", instantOrText(x, true), instantOrText(y, true))
	return f
}

// instantOrText is a check-in or check-out, as far as it is known.
func instantOrText(r store.Reservation, out bool) *string {
	at, specified := r.CheckIn, r.CheckInText
	if out {
		at, specified = r.CheckOut, r.CheckOutText
	}
	if at == nil {
		return specified
	}
	s := pms.FormatInstant(*at)
	return &s
}

func listingDiffers(x, y store.Listing) []FieldDifference {
	var f fieldDifferences
	word := func(l store.Listing, is bool, yes, no string) *string {
		switch {
		case !l.Known:
			return nil
		case is:
			return &yes
		}
		return &no
	}
	f.add("deleted", word(x, x.Deleted, "true", "false"), word(y, y.Deleted, "true", "false"))
	f.add("name", x.Name, y.Name)
	f.add("seam_access_group_ids", stay.OrNil(strings.Join(x.Groups(), ", ")),
		stay.OrNil(strings.Join(y.Groups(), ", ")))
	f.add("acs_system_id", x.ACSSystemID, y.ACSSystemID)
	f.add("time_zone", x.TimeZone, y.TimeZone)
	f.add("check_in_time", x.CheckInTime, y.CheckInTime)
	f.add("check_out_time", x.CheckOutTime, y.CheckOutTime)
	f.add("merged_into", x.MergedInto, y.MergedInto)
	return f
}

type fieldDifferences []FieldDifference

func (f *fieldDifferences) add(field string, from, to *string) {
	if (from == nil) != (to == nil) || stay.Text(from) != stay.Text(to) {
		*f = append(*f, FieldDifference{field, from, to})
	}
}

// changedFields splits differences into old and new values; nil for no difference.
func changedFields(differences []FieldDifference) (before, after map[string]any) {
	for _, d := range differences {
		if before == nil {
			before, after = map[string]any{}, map[string]any{}
		}
		before[d.Field], after[d.Field] = d.From, d.To
	}
	return before, after
}

// Replay queues events to be applied again, each in its old position, and returns those that were queued: not those
// whose body has been removed, or that wait to be applied anyway. audit says who asked for it.
func (a *Applier) Replay(ctx context.Context, events []store.Event, audit store.Audit) ([]store.Event, error) {
	queued, err := a.store.Events.Replay(ctx, events, audit, a.now().UTC())
	if err == nil && len(queued) > 0 {
		a.Wake()
	}
	return queued, err
}
