package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/stay"
)

// This file measures events out: how soon a ready key is delivered, and what subscriptions cost the keys and each
// other.

const (
	manySubscriptions = 1000                  // of which one has a receiver that works
	seamAnswer        = 80 * time.Millisecond // as elsewhere
	deliveredWithin   = 50 * time.Millisecond // above the floor, p99
)

// subscriber is a receiver that works. It notes how late each key is delivered.
type subscriber struct {
	*httptest.Server
	mu   sync.Mutex
	late map[string]time.Duration // by reservation: from the time when it was ready
}

func newSubscriber() *subscriber {
	s := &subscriber{late: map[string]time.Duration{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived := time.Now()
		var m struct {
			Type      string
			Timestamp time.Time
			Data      struct {
				ReservationID string `json:"reservation_id"`
			}
		}
		if json.NewDecoder(r.Body).Decode(&m) == nil && m.Type == "mobile_key.ready" {
			s.mu.Lock()
			s.late[m.Data.ReservationID] = arrived.Sub(m.Timestamp)
			s.mu.Unlock()
		}
		w.WriteHeader(http.StatusNoContent)
	}))
	return s
}

func (s *subscriber) delivered() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.late)
}

// of returns how late a reservation's key was delivered.
func (s *subscriber) of(id string) (time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	late, has := s.late[id]
	return late, has
}

// dead is where receivers are that never work: one takes connections and says nothing, at the other nobody listens.
type dead struct {
	silent net.Listener
	held   sync.Map
}

func newDead() (*dead, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &dead{silent: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			d.held.Store(c, true)
		}
	}()
	return d, nil
}

func (d *dead) close() {
	_ = d.silent.Close()
	d.held.Range(func(c, _ any) bool {
		_ = c.(net.Conn).Close()
		return true
	})
}

// subscribe writes a config file with a subscription of the receiver that works, and others of dead ones.
func (b eventsOut) subscribe(s *subscriber, d *dead, others int) (string, error) {
	file, err := os.CreateTemp(b.dir, "subscriptions-*.yaml")
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	var text strings.Builder
	entry := func(name, url string) {
		secret := base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("%-32s", name)))
		fmt.Fprintf(&text, "  - {name: %s, url: %q, secrets: [whsec_%s], insecure: true}\n", name, url, secret)
	}
	text.WriteString("subscriptions:\n")
	entry("works", s.URL)
	for i := range others {
		url := "http://" + d.silent.Addr().String()
		if i%2 == 0 {
			url = "http://127.0.0.1:9" // discard: nobody listens
		}
		entry(fmt.Sprintf("dead-%d", i), url)
	}
	_, err = io.WriteString(file, text.String())
	return file.Name(), err
}

// out measures events out.
func (b eventsOut) out(ctx context.Context) error {
	d, err := newDead()
	if err != nil {
		return err
	}
	defer d.close()
	for _, others := range []int{0, manySubscriptions - 1} {
		if err := b.readyToDelivered(ctx, d, others); err != nil {
			return err
		}
	}
	return b.drainWithSubscriptions(ctx, d)
}

// readyToDelivered measures how soon a key that is ready on an idle server is delivered.
func (b eventsOut) readyToDelivered(ctx context.Context, d *dead, others int) error {
	s := newSubscriber()
	defer s.Close()
	floor, err := barePosts(ctx, s.URL, 50)
	if err != nil {
		return err
	}
	var late []float64
	for range b.rounds {
		round, err := b.deliveryRound(ctx, s, d, others)
		if err != nil {
			return err
		}
		late = append(late, round...)
	}
	p50, p99 := seconds(quantile(late, 0.5)), seconds(quantile(late, 0.99))
	what := "ready to delivered, idle server"
	if others > 0 {
		what += fmt.Sprintf(", next to %d dead receivers", others)
	}
	b.add(line{
		what: what, value: milliseconds(p50), p50: milliseconds(p50), p99: milliseconds(p99), against: "a bare POST",
		base:  milliseconds(floor),
		ratio: fmt.Sprintf("p99 %s above", milliseconds(p99-floor)), target: "at most " + milliseconds(deliveredWithin),
	})
	return nil
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// barePosts is the median of POSTs to a receiver, on a connection that is open.
func barePosts(ctx context.Context, url string, n int) (time.Duration, error) {
	var took []float64
	for range n {
		began := time.Now()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
		if err != nil {
			return 0, err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		_ = resp.Body.Close()
		took = append(took, time.Since(began).Seconds())
	}
	return seconds(quantile(took, 0.5)), nil
}

// deliveryRound books one stay after another and returns how late their keys were delivered.
func (b eventsOut) deliveryRound(ctx context.Context, s *subscriber, d *dead, others int) ([]float64, error) {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return nil, err
	}
	defer b.drop(ctx, name, db)

	if err := addListings(ctx, db); err != nil {
		return nil, err
	}

	_, seam, err := simulatedSeam(0)
	if err != nil {
		return nil, err
	}
	defer seam.Close()

	config, err := b.subscribe(s, d, others)
	if err != nil {
		return nil, err
	}

	p, err := b.server(ctx, name, seam.URL, "STAYKEY_CONFIG="+config)
	if err != nil {
		return nil, err
	}
	defer func() { _ = p.stop() }()

	var late []float64
	for i := range 2*b.stays + 2 {
		id := fmt.Sprintf("%s-stay-%d", name, i)
		if err := postOne(ctx, p.url, id, reservation(id)); err != nil {
			return nil, err
		}

		took, has := time.Duration(0), false
		for began := time.Now(); !has; took, has = s.of(id) {
			if time.Since(began) > time.Minute {
				return nil, fmt.Errorf("%s is not delivered after a minute", id)
			}
			time.Sleep(time.Millisecond)
		}

		if i >= 2 { // the first ones warm up, and make receivers known as dead
			late = append(late, took.Seconds())
		}
	}
	return late, nil
}

// drainWithSubscriptions measures what subscriptions cost the keys: a full queue is drained without any, with one,
// and with many of which all but one have dead receivers.
func (b eventsOut) drainWithSubscriptions(ctx context.Context, d *dead) error {
	full, drop, err := b.fullQueue(ctx)
	if err != nil {
		return err
	}
	defer drop()

	var without, one, many, oneRatio, manyRatio, reported []float64
	for range b.rounds {
		alone, _, err := b.drainReporting(ctx, full, nil, "", 0)
		if err != nil {
			return err
		}
		withOne, reportedAfter, err := b.drainTo(ctx, full, d, 0)
		if err != nil {
			return err
		}
		withMany, _, err := b.drainTo(ctx, full, d, manySubscriptions-1)
		if err != nil {
			return err
		}

		without, one, many = append(without, alone), append(one, withOne), append(many, withMany)
		oneRatio, manyRatio, reported = append(oneRatio, withOne/alone), append(manyRatio, withMany/withOne),
			append(reported, reportedAfter)
	}

	rate := func(took []float64) string { return fmt.Sprintf("%.0f/s", float64(b.drained)/median(took)) }
	what := fmt.Sprintf("%d keys, Seam at %d ms per call, ", b.drained, seamAnswer.Milliseconds())
	b.add(line{
		what: what + "one subscription", value: rate(one), against: "without", base: rate(without),
		ratio: fmt.Sprintf("%.2f times as long", median(oneRatio)), target: "within 1.1",
	})
	b.add(line{
		what: what + fmt.Sprintf("%d subscriptions, all but one dead", manySubscriptions), value: rate(many),
		against: "with one", base: rate(one), ratio: fmt.Sprintf("%.2f times as long", median(manyRatio)),
		target: "within 1.1",
	})

	b.note("the last of %d keys was delivered %.1f s after the last key was issued", b.drained, median(reported))
	return nil
}

// drainTo drains a full queue with a subscription that works and others that don't.
func (b eventsOut) drainTo(ctx context.Context, full string, d *dead, others int,
) (took, reportedAfter float64, err error) {
	s := newSubscriber()
	defer s.Close()
	config, err := b.subscribe(s, d, others)
	if err != nil {
		return 0, 0, err
	}
	return b.drainReporting(ctx, full, s, config, others)
}

// drainReporting returns how long a full queue takes until all keys are issued, and how much later the last one is
// delivered.
func (b queues) drainReporting(ctx context.Context, full string, s *subscriber, config string, others int) (took,
	reportedAfter float64, err error,
) {
	_, seam, err := simulatedSeam(seamAnswer)
	if err != nil {
		return 0, 0, err
	}
	defer seam.Close()

	name, db, err := b.database(ctx, full)
	if err != nil {
		return 0, 0, err
	}
	defer b.drop(ctx, name, db)
	// A receiver that is dead has been for some time.
	if _, err := db.Exec(ctx, `
		INSERT INTO subscriptions (name, made_at_order, failures, failing_since, last_failure_at, unanswered, seen_at,
			created_at)
		SELECT 'dead-' || n, 0, 3, now(), now(), true, now(), now()
			FROM generate_series(0, $1 - 1) n`, others); err != nil {
		return 0, 0, err
	}

	env := []string{fmt.Sprintf("STAYKEY_WORKERS=%d", drainWorkers), "STAYKEY_PUBLIC_URL=https://keys.example.com"}
	if config != "" {
		env = append(env, "STAYKEY_CONFIG="+config)
	}
	p, err := b.server(ctx, name, seam.URL, env...)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = p.stop() }()

	b.profile(ctx, p, fmt.Sprintf("out-%d", others), 10*time.Second)
	began := time.Now()
	if err := b.awaitIssued(ctx, db, began); err != nil {
		return 0, 0, err
	}

	took = time.Since(began).Seconds()
	for s != nil && s.delivered() < b.drained {
		if time.Since(began) > 10*time.Minute {
			return 0, 0, fmt.Errorf("%d of %d keys are delivered after 10 minutes", s.delivered(), b.drained)
		}
		time.Sleep(20 * time.Millisecond)
	}

	say("drained in %.1f s, delivered %.1f s later", took, time.Since(began).Seconds()-took)
	return took, time.Since(began).Seconds() - took, nil
}

// awaitIssued waits until every key of a full queue is issued.
func (b queues) awaitIssued(ctx context.Context, db *pgx.Conn, began time.Time) error {
	for left := b.drained; left > 0; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
		if time.Since(began) > 10*time.Minute {
			return fmt.Errorf("%d stays have no key after 10 minutes", left)
		}
		if err := db.QueryRow(ctx, `SELECT count(*) FROM mobile_keys WHERE status <> $1`,
			stay.KeyIssued).Scan(&left); err != nil {
			return err
		}
	}
	return nil
}
