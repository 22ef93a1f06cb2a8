package intake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// This file writes what a batch has folded, with its locks still held:
//
//	await   events whose documents are still missing: they leave the queue until the documents are there, and the
//	        fetches are jobs of the same transaction
//	save    what the others changed: reservations, listings, guests, then keys, results of events, windows that lapse
//	        with their stay, and timelines
//	count   after the commit: metrics, activity and traces, which a batch that is undone must not leave behind
//
// New reservations are inserted and known ones updated, each with one statement for the whole batch. A key is requested
// only where what is desired changed: its generation rises, and an attempt that works on the earlier one is overtaken.

// saving writes a folded batch.
type saving struct {
	*rows
	stays         *stayChanges
	listed        map[stay.ListingRef]bool
	guestsChanged map[stay.Ref]bool

	events  []*mapped
	tries   map[uuid.UUID][]store.Try // the requests for the documents of events
	fetches Fetches                   // nil where nothing fetches documents
	traced  bool                      // a key's request names the event that led to it
}

// await schedules the fetches that events wait for, and records those that were made.
func (s saving) await(ctx context.Context, tx pgx.Tx) error {
	var jobs []store.Event
	var waiting []store.Awaiting
	for _, m := range s.events {
		if !m.awaiting && !m.rechecked {
			continue
		}
		if !m.again.IsZero() {
			if err := s.askAgain(ctx, tx, m); err != nil {
				return err
			}
			continue
		}

		encoded, err := json.Marshal(m.says.Fetches)
		if err != nil {
			return fmt.Errorf("encode the documents to fetch: %w", err)
		}

		reason := store.ReasonNeedsFetch
		if s.source(m.Source).Fetch != nil {
			reason = ""
			jobs = append(jobs, m.Event)
		}
		waiting = append(waiting, store.Awaiting{
			Event: m.Event, Wants: encoded, Reason: reason, Applied: m.AppliedBefore, BookingIDs: m.toBeFetched(),
		})
	}

	if len(waiting) > 0 {
		var batch pgx.Batch
		store.AwaitDocuments(&batch, waiting, s.now)
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("schedule fetches for %d events: %w", len(waiting), err)
		}
	}

	if len(jobs) > 0 {
		if s.fetches == nil {
			return errors.New("this process doesn't fetch documents")
		}
		if err := s.fetches.Enqueue(ctx, tx, jobs); err != nil {
			return err
		}
	}

	s.addFetches()
	return nil
}

// toBeFetched are the bookings that the documents of an event are about.
func (m *mapped) toBeFetched() (bookings []string) {
	for _, f := range m.says.Fetches {
		for _, id := range f.ReservationIDs {
			if id = store.Storable(id); !slices.Contains(bookings, id) {
				bookings = append(bookings, id)
			}
		}
	}
	return bookings
}

// askAgain schedules another fetch of an event's documents, for when they can be trusted.
func (s saving) askAgain(ctx context.Context, tx pgx.Tx, m *mapped) error {
	reason := m.againWhy + "; fetched again at " + pms.FormatInstant(m.again)
	if err := store.ForgetDocuments(ctx, tx, m.EventID, m.AppliedBefore, m.rechecked, reason); err != nil {
		return err
	}
	return s.fetches.EnqueueAt(ctx, tx, m.Event, m.again)
}

// addFetches adds the requests that were made for events to the timelines of their reservations, one line per
// event.
func (s saving) addFetches() {
	for _, m := range s.events {
		made := s.tries[m.EventID]
		if len(made) == 0 || m.awaiting {
			continue
		}
		for _, c := range m.changes {
			if c.Reservation == nil {
				continue
			}
			ref := stay.Ref{Source: m.Source, ReservationID: c.Reservation.ReservationID}
			if s.reservations[ref].VersionSeq > 0 {
				s.stays.entries = append(s.stays.entries, fetchEntry(ref, m.EventID, made))
			}
		}
	}
}

// fetchEntry is one line of a timeline about all requests that were made for an event, however many there were.
func fetchEntry(ref stay.Ref, event uuid.UUID, tries []store.Try) store.Entry {
	last, asked := tries[len(tries)-1], 0
	for _, t := range tries {
		asked += max(t.Attempt, 1)
		if t.At.After(last.At) {
			last = t
		}
	}
	outcome := fmt.Sprintf("answered %d", last.Status)
	if last.Error != "" {
		outcome = "failed"
	}
	what := last.Document
	if len(tries) > 1 {
		what = fmt.Sprintf("%d documents", len(tries))
	}
	summary := "asked the PMS for " + what + ": " + outcome
	if asked > len(tries) {
		summary = fmt.Sprintf("asked the PMS for %s, %d times: %s", what, asked, outcome)
	}
	return store.Entry{
		Ref: ref, At: last.At, Kind: stay.TimelineFetch, Summary: summary,
		Detail: map[string]any{"event_id": event.String(), "requests": asked, "documents": tries},
	}
}

func (s saving) save(ctx context.Context, tx pgx.Tx) error {
	gates, err := s.gatesChanged(ctx, tx)
	if err != nil {
		return err
	}
	w := s.writes(gates)
	if err := store.InsertReservations(ctx, tx, w.fresh); err != nil {
		return err
	}
	if err := store.UpdateReservations(ctx, tx, w.known); err != nil {
		return err
	}
	var writes pgx.Batch
	for _, ref := range slices.SortedFunc(maps.Keys(s.listed), stay.ListingRef.Compare) {
		store.SaveListing(&writes, s.listings[ref])
	}

	var guests []store.Guest
	for _, ref := range slices.SortedFunc(maps.Keys(s.guestsChanged), stay.Ref.Compare) {
		guests = append(guests, s.guests[ref])
	}

	store.SaveGuests(&writes, guests)
	store.InsertKeys(&writes, w.made, s.now)
	store.RequestKeys(&writes, w.changed, s.now)
	store.FinishEvents(&writes, settled(s.events))
	if err := s.lapseWindows(ctx, tx, &writes); err != nil {
		return err
	}
	if err := store.QueueTimeline(&writes, s.stays.entries); err != nil {
		return err
	}
	if err := tx.SendBatch(ctx, &writes).Close(); err != nil {
		return fmt.Errorf("store the reservations and listings of %d events: %w", len(s.events), err)
	}
	return nil
}

// stayWrites are the reservations of a batch, and what their keys are asked for: new ones, and those that exist.
type stayWrites struct {
	fresh, known  []store.Reservation
	made, changed []store.KeyRequest
}

func (s saving) writes(gates map[stay.Ref]bool) (all stayWrites) {
	for ref, before := range s.stays.before {
		r := s.reservations[ref]
		differs := stayChanged(before, r)
		request := keyRequest(r, s.now, differs || gates[ref], differs)
		if !differs {
			request = keepingStatus(request)
		}
		if s.traced {
			request.EventID = s.lastOf(ref)
		}
		if before.VersionSeq > 0 {
			all.known, all.changed = append(all.known, r), append(all.changed, request)
			continue
		}
		if r.CheckOut != nil && !r.CheckOut.After(s.now) {
			request.RankAt = &store.LastRank // it never had a key, nobody waits for it, and an import may bring many
		}
		all.fresh, all.made = append(all.fresh, r), append(all.made, request)
	}
	return all
}

// lastOf is the last applied event about a reservation.
func (s saving) lastOf(ref stay.Ref) *uuid.UUID {
	for _, m := range slices.Backward(s.events) {
		if m.Status == stay.EventApplied && m.Source == ref.Source && slices.ContainsFunc(m.changes,
			func(c change) bool {
				return c.Reservation != nil && c.Reservation.ReservationID == ref.ReservationID
			}) {
			return &m.EventID
		}
	}
	return nil
}
