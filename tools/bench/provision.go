package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// provisionCalls are the calls that a new guest's stay needs, each for the next: identity, ACS user, credential,
// read-back. The read-back's second read, of the doors, is made at the same time.
const provisionCalls = 4

// reservation is a signed webhook's body, of a stay in some months.
func reservation(id string) []byte { return reservationWith(id, nil) }

// reservationWith is reservation with the states of gates.
func reservationWith(id string, gates map[string]string) []byte {
	data := map[string]any{
		"reservation_id": id, "guest_email": id + "@example.com", "listing_id": "listing-1",
		"check_in": "2031-03-01T15:00:00.000Z", "check_out": "2031-03-04T11:00:00.000Z",
	}
	if gates != nil {
		data["gates"] = gates
	}
	body, _ := json.Marshal(map[string]any{ // strings only: it can't fail
		"type": "reservation.created", "timestamp": pms.FormatInstant(time.Now()), "data": data,
	})
	return body
}

// latency measures from webhook to issued key, one stay after another.
func (b provisioning) latency(ctx context.Context) error {
	const answer = 80 * time.Millisecond
	var p50s, p99s, ratios []float64
	var floors []float64
	for range b.rounds {
		name, db, err := b.database(ctx, "migrated")
		if err != nil {
			return err
		}
		took, floor, err := b.latencyRound(ctx, name, db, answer)
		b.drop(ctx, name, db)
		if err != nil {
			return err
		}
		p50, p99 := quantile(took, 0.5), quantile(took, 0.99)
		p50s, p99s = append(p50s, p50), append(p99s, p99)
		floors, ratios = append(floors, floor), append(ratios, p50/floor)
	}
	show := func(seconds float64) string { return milliseconds(time.Duration(seconds * float64(time.Second))) }
	b.add(line{
		what: "webhook to issued, Seam at 80 ms per call", value: show(median(p50s)), p50: show(median(p50s)),
		p99:     show(median(p99s)),
		against: fmt.Sprintf("its %d calls, one after another", provisionCalls), base: show(median(floors)),
		ratio: fmt.Sprintf("%.2f", median(ratios)), target: "at most 1.15",
	})
	return nil
}

func (b provisioning) latencyRound(ctx context.Context, name string, db *pgx.Conn, answer time.Duration,
) (took []float64, floor float64, err error) {
	if err := addListings(ctx, db); err != nil {
		return nil, 0, err
	}

	sim, server, err := simulatedSeam(answer)
	if err != nil {
		return nil, 0, err
	}
	defer server.Close()

	bare, err := bareCalls(ctx, server.URL, min(b.stays, 10), 1)
	if err != nil {
		return nil, 0, err
	}

	p, err := b.server(ctx, name, server.URL)
	if err != nil {
		return nil, 0, err
	}
	defer func() { _ = p.stop() }()

	for i := range b.stays + 2 {
		id := fmt.Sprintf("stay-%d", i)
		began := time.Now()
		if err := postOne(ctx, p.url, id, reservation(id)); err != nil {
			return nil, 0, err
		}

		for status := ""; status != stay.KeyIssued; {
			if err := db.QueryRow(ctx, `SELECT coalesce((SELECT status FROM mobile_keys WHERE reservation_id = $1),
				'')`, id).Scan(&status); err != nil {
				return nil, 0, err
			}
			if time.Since(began) > time.Minute {
				return nil, 0, fmt.Errorf("%s has no key after a minute: %s", id, status)
			}
			time.Sleep(time.Millisecond)
		}

		if i >= 2 { // the first ones warm up
			took = append(took, time.Since(began).Seconds())
		}
	}
	return took, bare, noDuplicates(sim)
}

func noDuplicates(sim *simulator.Simulator) error {
	if p := sim.Peaks(); p.UsersOfOneStay > 1 || p.KeysOfOneUser > 1 || p.UsersWithNoSchedule > 0 {
		return fmt.Errorf("something was made twice: %+v", p)
	}
	return nil
}

func postOne(ctx context.Context, url, id string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/webhooks/default", bytes.NewReader(body))
	if err != nil {
		return err
	}
	now := time.Now()
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Webhook-Id", id)
	req.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	req.Header.Set("Webhook-Signature", secret().Sign(id, now, body))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("a webhook was answered %s", resp.Status)
	}
	return nil
}

// bareCalls makes what a stay needs at Seam, with nothing around it, so many at a time, and returns how long one takes
// (seconds) in the middle.
func bareCalls(ctx context.Context, url string, stays, workers int) (float64, error) {
	client, err := seam.New(seam.Config{Endpoint: url, APIKey: "seam_bench"})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	took := make([]float64, stays)
	var next atomic.Int64
	errs := make([]error, workers)
	var wg sync.WaitGroup

	for w := range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= stays || errs[w] != nil {
					return
				}
				began := time.Now()
				errs[w] = bareStay(ctx, client)
				took[i] = time.Since(began).Seconds()
			}
		})
	}
	wg.Wait()

	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return quantile(took, 0.5), nil
}

func bareStay(ctx context.Context, client *seam.Client) error {
	id := "bare-" + uuid.NewString()
	identity, err := client.CreateUserIdentity(ctx, seam.CreateUserIdentity{Key: id, EmailAddress: id + "@example.com"})
	if err != nil {
		return err
	}
	user, err := client.CreateACSUser(ctx, seam.CreateACSUser{
		ACSSystemID: system, UserIdentityID: identity.UserIdentityID, FullName: id, ACSAccessGroupIDs: []string{group},
		AccessSchedule: seam.NewSchedule(time.Now().Add(time.Hour), time.Now().Add(time.Hour*24)),
	})
	if err != nil {
		return err
	}
	if _, err := client.CreateCredential(ctx, seam.MobileKeyOf(user.ACSUserID)); err != nil {
		return err
	}
	_, err = client.ACSUser(ctx, user.ACSUserID)
	return err
}

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

// drainWorkers is how many stays are provisioned at a time to drain a queue.
const drainWorkers = 64

// fullQueue makes a database with a full queue of stays, to be copied, and returns its name.
func (b queues) fullQueue(ctx context.Context) (name string, drop func(), err error) {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return "", nil, err
	}
	drop = func() { _, _ = b.admin.Exec(ctx, `DROP DATABASE `+name) }

	err = b.fill(ctx, name, db)
	_ = db.Close(ctx)
	if err != nil {
		drop()
		return "", nil, err
	}
	return name, drop, nil
}

// drainGoal is half of what a full queue took on 22 November 2026, as a multiple of the bare calls at 0 ms: 472 stays a
// second where 4,857 a second was possible.
const drainGoal = 4857.0 / 472 / 2

// drain measures how long a full queue of stays takes.
func (b provisioning) drain(ctx context.Context) error {
	full, drop, err := b.fullQueue(ctx)
	if err != nil {
		return err
	}
	defer drop()

	for _, answer := range []time.Duration{0, 80 * time.Millisecond} {
		var rates, floors, ratios, compared []float64
		for range b.rounds {
			rate, floor, err := b.drainRound(ctx, full, answer, 1)
			if err != nil {
				return err
			}
			rates, floors, ratios = append(rates, rate), append(floors, floor), append(ratios, floor/rate)

			if b.replicas > 1 && answer == 0 {
				several, _, err := b.drainRound(ctx, full, answer, b.replicas)
				if err != nil {
					return err
				}
				compared = append(compared, several/rate)
			}
		}

		l := line{
			what: fmt.Sprintf("%d stays provisioned, Seam at %d ms per call, %d at a time", b.drained,
				answer.Milliseconds(), drainWorkers), value: fmt.Sprintf("%.0f/s", median(rates)),
			against: "the bare calls", base: fmt.Sprintf("%.0f/s", median(floors)),
			ratio: fmt.Sprintf("%.2f times as long", median(ratios)), target: "within 1.1",
		}
		if answer == 0 {
			l.target = fmt.Sprintf("within %.1f", drainGoal)
		}
		b.add(l)
		if len(compared) > 0 {
			b.add(line{
				what:  fmt.Sprintf("the same on %d replicas", b.replicas),
				value: fmt.Sprintf("%.0f/s", median(compared)*median(rates)), against: "one replica",
				base: fmt.Sprintf("%.0f/s", median(rates)), ratio: fmt.Sprintf("%.2f", median(compared)),
				target: "0.8",
			})
		}
	}
	return nil
}

// fill applies stays, so that their keys are due, with nobody to provision them.
func (b queues) fill(ctx context.Context, name string, db *pgx.Conn) error {
	return b.fillWith(ctx, name, db, pms.DefaultPolicy(), nil)
}

// fillWith is fill for a source with a policy, whose PMS sends the states of gates.
func (b queues) fillWith(ctx context.Context, name string, db *pgx.Conn, policy pms.Policy,
	gates map[string]string,
) error {
	if err := addListings(ctx, db); err != nil {
		return err
	}
	s, err := store.Open(ctx, b.dsn(name))
	if err != nil {
		return err
	}
	defer s.Close()

	applier := intake.NewApplier(s,
		slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})),
		intake.Options{Source: func(string) pms.Source { return pms.Source{Policy: policy} }})
	for from := 0; from < b.drained; from += 500 {
		var events []store.Event
		for i := from; i < min(from+500, b.drained); i++ {
			id, listing := fmt.Sprintf("stay-%d", i), "listing-1"
			now := time.Now().UTC()
			events = append(events, store.Event{
				EventID: uuid.New(), Source: "default", EventKey: &id, Type: "reservation.created",
				Status:        stay.EventAccepted,
				ReservationID: &id, ListingID: &listing, OccurredAt: &now, ReceivedAt: now,
				Body: reservationWith(id, gates),
			})
		}
		if _, err := s.Events.Insert(ctx, events); err != nil {
			return err
		}
	}
	return applier.Drain(ctx)
}

// drainRound returns how many stays a second were provisioned, and how many bare calls would have made.
func (b provisioning) drainRound(ctx context.Context, full string, answer time.Duration, replicas int) (rate,
	floor float64, err error,
) {
	_, bare, err := simulatedSeam(answer)
	if err != nil {
		return 0, 0, err
	}
	defer bare.Close()

	began := time.Now()
	few := min(b.drained, 10*drainWorkers)
	if _, err := bareCalls(ctx, bare.URL, few, drainWorkers); err != nil {
		return 0, 0, err
	}
	floor = float64(few) / time.Since(began).Seconds()
	bare.Close()

	sim, server, err := simulatedSeam(answer)
	if err != nil {
		return 0, 0, err
	}
	defer server.Close()

	name, db, err := b.database(ctx, full)
	if err != nil {
		return 0, 0, err
	}
	defer b.drop(ctx, name, db)

	var programs []*program
	defer func() {
		for _, p := range programs {
			_ = p.stop()
		}
	}()

	for range replicas {
		p, err := b.server(ctx, name, server.URL, fmt.Sprintf("STAYKEY_WORKERS=%d", drainWorkers/replicas))
		if err != nil {
			return 0, 0, err
		}
		programs = append(programs, p)
		b.profile(ctx, p, fmt.Sprintf("drain-%dms", answer.Milliseconds()), 5*time.Second)
		if len(programs) == 1 {
			began = time.Now()
		}
	}

	if err := b.awaitIssued(ctx, db, began); err != nil {
		return 0, 0, err
	}

	rate = float64(b.drained) / time.Since(began).Seconds()
	say("drain at %s per call, %d replicas: %.0f/s, bare %.0f/s", answer, replicas, rate, floor)
	if n := len(sim.State().Users); n != b.drained {
		return 0, 0, fmt.Errorf("%d stays have %d ACS users", b.drained, n)
	}
	return rate, floor, noDuplicates(sim)
}
