package intake

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Statuses of an imported event in addition to those of events.
const (
	ImportKnown   = "known"   // it was imported before
	ImportInvalid = "invalid" // it is not an event of the canonical format
)

// Imported is the result of an imported event.
type Imported struct {
	EventID uuid.UUID        // zero if nothing was kept
	Status  string           // of an event, accepted while it waits to be applied; ImportKnown or ImportInvalid
	Reason  string           // why it has that status; "" for none
	Errors  []pms.FieldError // what is wrong, field by field, if it is invalid; otherwise nil
}

// importWait is how long an import waits for its events to be applied, and importLook how often it checks.
const (
	importWait = 10 * time.Second
	importLook = 20 * time.Millisecond
)

// Import adds events of the canonical format to a source, whatever the source's own format, and waits up to ten seconds
// for their results. Their timestamps decide their order. An event that was imported before, with the same content, is
// reported as known. A dry run does everything that an import does and rolls it back.
func (a *Applier) Import(ctx context.Context, source string, bodies [][]byte, dryRun bool,
	audit store.Audit,
) ([]Imported, error) {
	results := make([]Imported, len(bodies))
	var events []store.Event
	var rows []int // of events, in results
	seen := map[string]bool{}
	for i, body := range bodies {
		e, errs, err := a.importedEvent(source, body)
		switch {
		case err != nil:
			results[i] = Imported{Status: ImportInvalid, Reason: err.Error()}
		case len(errs) > 0:
			results[i] = Imported{Status: ImportInvalid, Reason: pms.Reasons(errs), Errors: errs}
		case seen[*e.EventKey]:
			results[i] = Imported{Status: ImportKnown}
		default:
			seen[*e.EventKey] = true
			events, rows = append(events, e), append(rows, i)
		}
	}
	if len(events) == 0 {
		return results, nil
	}
	if dryRun {
		return results, a.previewImport(ctx, events, rows, results)
	}
	accepted, err := a.store.Events.Import(ctx, events, audit, a.now().UTC())
	if err != nil {
		return nil, err
	}
	a.Wake()
	return results, a.awaitImported(ctx, accepted, rows, results)
}

func (a *Applier) importedEvent(source string, body []byte) (store.Event, []pms.FieldError, error) {
	now := a.now().UTC().Truncate(time.Microsecond)
	says, err := pms.ParseStaykeyAt(body, now)
	if err != nil || len(says.Invalid) > 0 {
		return store.Event{}, says.Invalid, err
	}
	if says.Ignored {
		return store.Event{}, nil, fmt.Errorf("staykey doesn't use the type %q", store.Storable(says.Type))
	}
	sum := sha256.Sum256(body)
	key := "import_" + hex.EncodeToString(sum[:16])
	e := store.Event{
		EventID: uuid.New(), Source: source, EventKey: &key, Type: says.Type, Status: stay.EventAccepted,
		OccurredAt: &says.OccurredAt, ReceivedAt: now,
		Body: body, Request: []byte(`{"format":"` + pms.CanonicalFormat + `"}`), // whatever the source's own format
	}
	switch c := says.Change(); {
	case c.Reservation != nil:
		e.ReservationID, e.ListingID = &c.Reservation.ReservationID, c.Reservation.ListingID
	case c.Listing != nil:
		e.ListingID = &c.Listing.ListingID
	}
	return e, nil, nil
}

// awaitImported waits for the results of events, until all are settled or it takes too long.
func (a *Applier) awaitImported(ctx context.Context, accepted []store.Accepted, rows []int, results []Imported) error {
	var waiting []uuid.UUID
	at := map[uuid.UUID]int{}
	for i, e := range accepted {
		results[rows[i]] = Imported{EventID: e.EventID, Status: stay.EventAccepted}
		if e.Duplicate {
			results[rows[i]].Status = ImportKnown
			continue
		}
		at[e.EventID] = rows[i]
		waiting = append(waiting, e.EventID)
	}

	look := time.NewTicker(importLook)
	defer look.Stop()
	enough := time.NewTimer(importWait)
	defer enough.Stop()
	for settled := 0; settled < len(waiting); {
		found, err := a.store.Events.ResultsOf(ctx, waiting)
		if err != nil {
			return err
		}
		for id, r := range found {
			results[at[id]].Status, results[at[id]].Reason = r.Status, r.Reason
		}
		if settled = len(found); settled == len(waiting) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-enough.C:
			return nil // they are stored, and will be applied
		case <-look.C:
		}
	}
	return nil
}

// previewImport finds out the result of events. Mapping them, which may take long, comes before its transaction.
func (a *Applier) previewImport(ctx context.Context, events []store.Event, rows []int, results []Imported) error {
	known, err := a.store.Events.KnownKeys(ctx, events)
	if err != nil {
		return err
	}
	now := a.now().UTC()
	var all []*mapped
	of := map[uuid.UUID]int{}
	for i, e := range events {
		if known[*e.EventKey] {
			results[rows[i]] = Imported{Status: ImportKnown}
			continue
		}
		e.Seq = math.MaxInt64 - int64(len(events)) + int64(i) // after all existing events
		m, err := mapEvent(ctx, a.source(e.Source), e)
		if err != nil {
			return err
		}
		of[e.EventID] = rows[i]
		m.prepare()
		all = append(all, m)
	}

	err = a.store.InTx(ctx, func(tx pgx.Tx) error {
		l := newLocking(newRows(now, a.source), copies(all))
		if err := l.lock(ctx, tx, false); err != nil {
			return err
		}
		newFolding(l).fold(l.events)
		for _, m := range l.events {
			results[of[m.EventID]] = Imported{Status: m.Status, Reason: stay.Text(m.Reason)}
		}
		return errPreviewed
	})
	if errors.Is(err, errPreviewed) {
		return nil
	}
	return err
}
