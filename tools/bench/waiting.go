package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/pms"
)

// What waits must harm nobody: neither the webhooks of other sources (besides) nor the machine (memory).

// fetched is a fetching source whose webhooks need a document each.
const fetched = `
  - name: %[1]s
    format: cloudbeds
    time_zone: Europe/Lisbon
    verify: {secrets: ["benchmark-%[1]s-0123456789"]}
    fetch: {url: "%[2]s", token: benchmark-api-key, per_second: 1000}`

// livingPMS answers with a document for each reservation that it is asked for.
func livingPMS() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "data": map[string]any{
			"reservationID": r.URL.Query().Get("reservationID"), "status": "confirmed",
			"guestEmail": "guest@example.com",
			"startDate":  "2031-03-01", "endDate": "2031-03-04",
			"assigned": []any{map[string]any{
				"subReservationID": "1", "roomID": "listing-1", "startDate": "2031-03-01",
				"endDate": "2031-03-04",
			}},
		}})
	}))
}

// deadPMS takes requests and answers none. It counts them.
func deadPMS() (server *httptest.Server, asked *atomic.Int64) {
	asked = new(atomic.Int64)
	return httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-r.Context().Done()
	})), asked
}

// configFile writes a configuration of sources.
func (b waiting) configFile(sources ...string) (string, error) {
	file := filepath.Join(b.dir, "staykey-"+uuid.NewString()+".yaml")
	return file, os.WriteFile(file, []byte("sources:"+strings.Join(sources, "")+"\n"), 0o600)
}

// postTo posts a webhook, and fails unless it is accepted.
func postTo(ctx context.Context, url string, body []byte, header http.Header) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusAccepted {
		return fmt.Errorf("a webhook was answered %s: %s", resp.Status, answer)
	}
	return nil
}

func postFetched(ctx context.Context, server, source, id string) error {
	body := fmt.Appendf(nil, `{"version": "1.0", "event": "reservation/created", "timestamp": %d, "propertyID": 1, "reservationID": %q}`, time.Now().Unix(), id)
	return postTo(ctx, server+"/webhooks/"+source+"/benchmark-"+source+"-0123456789", body, http.Header{})
}

// deadEvents is how many webhooks of the PMS that doesn't answer wait.
const deadEvents = 1000

// besides measures how long a healthy source's webhooks take to be applied, alone and next to many of a PMS that
// doesn't answer: in the order of receipt, with a document to fetch for each.
func (b waiting) beside(ctx context.Context) error {
	var alone, beside, ratios []float64
	var alone50, beside50 []float64
	for range b.rounds {
		name, db, err := b.database(ctx, "migrated")
		if err != nil {
			return err
		}
		a, d, err := b.besideRound(ctx, name, db)
		b.drop(ctx, name, db)
		if err != nil {
			return err
		}
		alone, beside = append(alone, quantile(a, 0.99)), append(beside, quantile(d, 0.99))
		alone50, beside50 = append(alone50, quantile(a, 0.5)), append(beside50, quantile(d, 0.5))
		ratios = append(ratios, quantile(d, 0.99)/quantile(a, 0.99))
	}
	ms := func(seconds float64) string { return milliseconds(time.Duration(seconds * float64(time.Second))) }
	b.add(line{
		what: fmt.Sprintf("webhook to applied, next to %d waiting events of a PMS that doesn't answer",
			deadEvents), value: "p99 " + ms(median(beside)),
		p50: ms(median(beside50)), p99: ms(median(beside)), against: "the same without them (p50 " +
			ms(median(alone50)) + ")", base: "p99 " + ms(median(alone)),
		ratio: fmt.Sprintf("%.2f", median(ratios)), target: "under 2",
	})
	return nil
}

func (b waiting) besideRound(ctx context.Context, name string, db *pgx.Conn) (alone, beside []float64, err error) {
	_, seam, err := simulatedSeam(0)
	if err != nil {
		return nil, nil, err
	}
	defer seam.Close()

	living := livingPMS()
	defer living.Close()
	dead, asked := deadPMS()
	defer func() { dead.CloseClientConnections(); dead.Close() }()

	config, err := b.configFile(fmt.Sprintf(fetched, "healthy", living.URL), fmt.Sprintf(fetched, "dead", dead.URL))
	if err != nil {
		return nil, nil, err
	}
	p, err := b.server(ctx, name, seam.URL, "STAYKEY_CONFIG="+config)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = p.stop() }()

	if _, err := b.toApplied(ctx, p, db, "warm", b.compared/2); err != nil {
		return nil, nil, err
	}
	if alone, err = b.toApplied(ctx, p, db, "alone", 4*b.compared); err != nil {
		return nil, nil, err
	}

	for i := range deadEvents {
		if err := postFetched(ctx, p.url, "dead", fmt.Sprintf("dead-%d", i)); err != nil {
			return nil, nil, err
		}
	}

	for waiting := 0; waiting < deadEvents; {
		if err := db.QueryRow(ctx,
			`SELECT count(*) FROM event_fetches WHERE source = 'dead'`).Scan(&waiting); err != nil {
			return nil, nil, err
		}
	}
	// Long enough for the first requests to time out, and for the others to be paused and tried again.
	beside, err = b.toApplied(ctx, p, db, "next_to_dead", 10*b.compared)
	say("dead PMS: p99 alone %.1f ms of %d, next to it %.1f ms of %d; the dead PMS was asked %d times",
		1000*quantile(alone, 0.99), len(alone), 1000*quantile(beside, 0.99), len(beside), asked.Load())
	return alone, beside, err
}

// toApplied posts webhooks of the healthy source one after another, and returns how long each took to be applied,
// in seconds.
func (b waiting) toApplied(ctx context.Context, p *program, db *pgx.Conn, prefix string,
	lasts time.Duration,
) (took []float64, err error) {
	const pause = 30 * time.Millisecond
	for until, i := time.Now().Add(lasts), 0; time.Now().Before(until); i++ {
		id := fmt.Sprintf("%s-%d", prefix, i)
		began := time.Now()
		if err := postFetched(ctx, p.url, "healthy", id); err != nil {
			return nil, err
		}
		for there := false; !there; time.Sleep(500 * time.Microsecond) {
			if err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM reservations WHERE source = 'healthy'
				AND reservation_id = $1)`, id).Scan(&there); err != nil {
				return nil, err
			}
			if time.Since(began) > time.Minute {
				return nil, fmt.Errorf("%s is not applied after a minute", id)
			}
		}
		took = append(took, time.Since(began).Seconds())
		time.Sleep(pause)
	}
	return took, nil
}

// Large webhooks: how many wait, how large they are, and how many are posted at a time.
const (
	largeEvents  = 2000
	largeBody    = 1 << 20
	largePosters = 8
)

// memory measures the server's memory while many of the largest webhooks wait, and while they are applied: those of
// our own format, and those of a PMS.
func (b waiting) memory(ctx context.Context) error {
	name, db, err := b.database(ctx, "migrated")
	if err != nil {
		return err
	}
	defer b.drop(ctx, name, db)

	if err := addListings(ctx, db); err != nil {
		return err
	}

	_, seam, err := simulatedSeam(0)
	if err != nil {
		return err
	}
	defer seam.Close()

	config, err := b.configFile(`
  - {name: default, verify: {method: standard-webhooks, secrets: ["` + secret().String() + `"]}}
  - {name: hostaway, format: hostaway, time_zone: Europe/Lisbon, verify: {username: staykey, password: benchmark-password-0123456789}}`)
	if err != nil {
		return err
	}

	p, err := b.server(ctx, name, seam.URL, "STAYKEY_CONFIG="+config)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()

	say("memory: posting %d webhooks of 1 MiB", largeEvents)
	waiting, err := b.largeWaiting(ctx, p, name)
	if err != nil {
		return err
	}
	say("memory: they wait, at a peak of %d MiB", waiting)
	p.forgetPeak()

	if err := drained(ctx, db); err != nil {
		return err
	}

	var applied int
	if err := db.QueryRow(ctx, `SELECT count(*) FROM reservations`).Scan(&applied); err != nil {
		return err
	}
	if applied != largeEvents {
		b.lost += largeEvents - applied
	}

	b.add(line{
		what:  fmt.Sprintf("memory at its peak, %d webhooks of 1 MiB coming in and waiting", largeEvents),
		value: fmt.Sprintf("%d MiB", waiting), target: "under 200 MiB",
	})
	b.add(line{
		what: "the same, while they are applied", value: fmt.Sprintf("%d MiB", p.peak()),
		target: "under 200 MiB",
	})
	return nil
}

// largeWaiting posts large webhooks and keeps them from being applied until the last one is there, by a lock on the
// row of the listing that they name. It returns the peak of the server's memory.
func (b waiting) largeWaiting(ctx context.Context, p *program, database string) (peak int, err error) {
	locker, err := pgx.Connect(ctx, b.dsn(database))
	if err != nil {
		return 0, err
	}
	defer func() { _ = locker.Close(ctx) }() // which lets the lock go

	if _, err := locker.Exec(ctx, `BEGIN`); err != nil {
		return 0, err
	}
	if _, err := locker.Exec(ctx, `INSERT INTO listings (source, listing_id, created_at, updated_at)
		VALUES ('hostaway', '1', now(), now()) ON CONFLICT DO NOTHING`); err != nil {
		return 0, err
	}
	if _, err := locker.Exec(ctx, `SELECT FROM listings FOR UPDATE`); err != nil {
		return 0, err
	}

	var next atomic.Int64
	errs := make([]error, largePosters)
	var posting sync.WaitGroup
	for w := range largePosters {
		posting.Go(func() {
			for i := next.Add(1); i <= largeEvents && errs[w] == nil; i = next.Add(1) {
				errs[w] = postLarge(ctx, p.url, int(i))
			}
		})
	}
	posting.Wait()

	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}

	queued, err := backlog(ctx, locker)
	if err != nil {
		return 0, err
	}
	if queued != largeEvents {
		return 0, fmt.Errorf("%d of %d large webhooks wait", queued, largeEvents)
	}
	return p.peak(), nil
}

// postLarge posts a webhook of the largest size: every other one of a PMS, which is mapped by a program.
func postLarge(ctx context.Context, server string, n int) error {
	id := "large-" + strconv.Itoa(n)
	if n%2 == 0 {
		body := filled(map[string]any{"object": "reservation", "event": "reservation.created"}, map[string]any{
			"id": id, "listingMapId": 1, "status": "new", "arrivalDate": "2031-03-01", "departureDate": "2031-03-04",
			"guestEmail": id + "@example.com",
		})
		req := http.Request{Header: http.Header{}}
		req.SetBasicAuth("staykey", "benchmark-password-0123456789")
		return postTo(ctx, server+"/webhooks/hostaway", body, req.Header)
	}
	body := filled(map[string]any{"type": "reservation.created", "timestamp": pms.FormatInstant(time.Now())},
		map[string]any{
			"reservation_id": id, "guest_email": id + "@example.com", "listing_id": "listing-1",
			"check_in": "2031-03-01T15:00:00.000Z", "check_out": "2031-03-04T11:00:00.000Z",
		})
	now := time.Now()
	return postTo(ctx, server+"/webhooks/default", body, http.Header{
		"Webhook-Id": {id}, "Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
		"Webhook-Signature": {secret().Sign(id, now, body)},
	})
}

// filled is an event with its data, and as many small fields next to it as make it as large as it may be: reading
// them takes more memory than one long text.
func filled(event, data map[string]any) []byte {
	event["data"] = data
	plain, _ := json.Marshal(event) // texts and numbers only: it can't fail
	const field, around = len(`,"00000":"0123456789abcdef"`), len(`,"extra":{}`)
	var extra bytes.Buffer
	for i := range (largeBody - len(plain) - around) / field {
		if i > 0 {
			extra.WriteByte(',')
		}
		fmt.Fprintf(&extra, `"%05d":"0123456789abcdef"`, i)
	}
	return fmt.Appendf(nil, `%s,"extra":{%s}}`, plain[:len(plain)-1], extra.Bytes())
}

// drained waits until nothing is left to apply.
func drained(ctx context.Context, db *pgx.Conn) error {
	for began, left := time.Now(), 1; left > 0; {
		var err error
		if left, err = backlog(ctx, db); err != nil {
			return err
		}
		if time.Since(began) > 10*time.Minute {
			return fmt.Errorf("%d events are not applied after 10 minutes", left)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}
