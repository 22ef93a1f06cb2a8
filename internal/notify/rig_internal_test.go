package notify

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/internal/store/storetest"
)

// hangs is a deadline that only a hang can miss.
const hangs = 8 * time.Minute

// rig is a database with stays that tests change as staykey would, and a notifier whose clock tests turn.
type rig struct {
	*Notifier
	t             *testing.T
	db            *store.Store
	subscriptions []Subscription
	gated         []pms.Gate // of the source default
	victims       storetest.Victims

	mu  sync.Mutex
	now time.Time
}

func newRig(t *testing.T, subscriptions ...Subscription) *rig {
	t.Helper()
	return newRigOn(t, storetest.NewSmall(t, 1), subscriptions...)
}

func newRigOn(t *testing.T, db *store.Store, subscriptions ...Subscription) *rig {
	t.Helper()
	r := &rig{
		t: t, db: db, subscriptions: subscriptions,
		now: time.Date(2024, 11, 1, 12, 0, 0, 0, time.UTC),
	}
	r.restart()
	r.settle()
	return r
}

// restart is what a new process starts with: only the database.
func (r *rig) restart() {
	r.Notifier = New(r.db, slog.New(slog.DiscardHandler), Options{
		Subscriptions: func() []Subscription { return r.subscriptions }, AdminURL: "https://keys.example.com",
		Version: "test", Now: r.clock,
		GatedSources: func() []string {
			if r.gated == nil {
				return nil
			}
			return []string{"default"}
		},
		Gates: func(source string) []pms.Gate {
			if source != "default" {
				return nil
			}
			return r.gated
		},
	})
	r.failingEvery = func(int) time.Duration { return 0 } // tests don't wait
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

func (r *rig) exec(sql string, args ...any) {
	r.t.Helper()
	if _, err := r.db.Pool().Exec(context.Background(), sql, args...); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
}

func (r *rig) number(sql string, args ...any) (n int) {
	r.t.Helper()
	if err := r.db.Pool().QueryRow(context.Background(), sql, args...).Scan(&n); err != nil {
		r.t.Fatalf("%s: %v", sql, err)
	}
	return n
}

// stay makes a reservation whose key waits.
func (r *rig) stay(id string) { r.stayOf("default", id) }

func (r *rig) stayOf(source, id string) {
	r.t.Helper()
	r.exec(
		`INSERT INTO reservations (source, reservation_id, status, listing_id, guest_email, guest_name, guest_phone,
			check_in, check_out, version_at, version_seq, created_at, updated_at)
		VALUES ($1, $2, 'confirmed', 'L1', 'jane@example.com', 'Jane Doe', '+34600111222', $3, $4, $3, 1, $3, $3)`,
		source, id, starts, ends)
	r.exec(`INSERT INTO mobile_keys (source, reservation_id, changed_at, check_in) VALUES ($1, $2, $3, $4)`, source, id,
		r.clock(), starts)
	r.exec(
		`INSERT INTO user_identities (user_identity_key, user_identity_id, own, created_at) VALUES ($1, $1, true, now()) ON CONFLICT DO NOTHING`, source+"/"+id)
	r.exec(
		`INSERT INTO acs_users (source, reservation_id, acs_system_id, user_identity_key, user_identity_id, guest_key,
			acs_user_id, made_at, acs_credential_id, starts_at, ends_at, acs_access_group_ids)
		VALUES ($1, $2, 's', $3, $3, '', $3, now(), $3, $4, $5, '{g1}')`, source, id, source+"/"+id, starts, ends)
}

// key gives a stay's key a status.
func (r *rig) key(id, status, reason string) {
	r.t.Helper()
	r.exec(`UPDATE mobile_keys SET status = $2, reason = nullif($3, ''), changed_at = $4 WHERE reservation_id = $1`, id,
		status, reason, r.clock())
}

// doors changes what a stay's key opens.
func (r *rig) doors(id string, groups ...string) {
	r.t.Helper()
	r.exec(`UPDATE acs_users SET acs_access_group_ids = $2 WHERE reservation_id = $1`, id, groups)
}

// settle delivers until nothing is due, as Run would.
func (r *rig) settle() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hangs)
	defer cancel()
	for {
		more, err := r.round(ctx, ctx)
		if err != nil {
			r.t.Fatal(err)
		}
		r.runners.Wait()
		names := make([]string, len(r.subscriptions))
		for i, s := range r.subscriptions {
			names[i] = s.Name
		}
		due, err := r.db.Subscriptions.Due(ctx, names, r.clock())
		if err != nil {
			r.t.Fatal(err)
		}
		due = slices.DeleteFunc(due, func(d store.DueSubscription) bool { return !d.Due })
		if len(due) == 0 && !more && r.number(`SELECT count(*) FROM stay_changes`) == 0 {
			return
		}
	}
}

// crash ends all leases: the process that held them is dead, and the time of its leases has passed.
func (r *rig) crash() {
	r.t.Helper()
	r.exec(
		`UPDATE subscription_stays SET lease_until = clock_timestamp() - interval '1 second' WHERE lease_until IS NOT NULL`)
	r.restart()
}

func (r *rig) deliveries(f store.DeliveryFilter) []store.Delivery {
	r.t.Helper()
	list, err := r.db.Deliveries.List(context.Background(), f, 0, 500)
	if err != nil {
		r.t.Fatal(err)
	}
	return list
}

func (r *rig) state(name string) store.Subscription {
	r.t.Helper()
	found, err := r.db.Subscriptions.Named(context.Background(), []string{name})
	if err != nil {
		r.t.Fatal(err)
	}
	return found[name]
}

// heard is a message as it arrived.
type heard struct {
	ID   string
	Type string
	Data Data
	Body string
}

// receiver is somebody's server. It verifies every message.
type receiver struct {
	*httptest.Server
	t       *testing.T
	secrets []pms.Secret

	mu     sync.Mutex
	got    []heard
	answer func(h heard) int // 0: none, the connection is cut after the message was taken
}

// nobody listens there. The port of a server that was closed may be another test's a moment later; no system hands out
// one below 1024.
const nobody = "http://127.0.0.1:1"

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{
		t: t, secrets: []pms.Secret{pms.Secret("0123456789abcdef01234567")},
		answer: func(heard) int { return http.StatusNoContent },
	}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) subscription(name string, events ...string) Subscription {
	return Subscription{
		Name: name, URL: r.URL + "/hook/secret-path", Secrets: r.secrets, Events: events,
		Insecure: true,
	}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	delivery := pms.Post{Header: req.Header, Body: body}
	var at time.Time
	if n, err := json.Number(req.Header.Get("webhook-timestamp")).Int64(); err == nil {
		at = time.Unix(n, 0)
	}
	if _, err := (pms.StandardWebhooks{Secrets: r.secrets}).Verify(delivery, at); err != nil ||
		req.Header.Get("Content-Type") != "application/json" {
		r.t.Errorf("a message does not verify: %v, %v", err, req.Header)
	}
	h := heard{ID: req.Header.Get("webhook-id"), Body: string(body)}
	var e struct {
		Type string
		Data Data
	}
	if err := json.Unmarshal(body, &e); err != nil {
		r.t.Errorf("a body is no JSON: %v", err)
	}
	h.Type, h.Data = e.Type, e.Data
	r.mu.Lock()
	r.got = append(r.got, h)
	answer := r.answer
	r.mu.Unlock()
	status := answer(h)
	if status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// answers has the receiver answer with a status from now on.
func (r *receiver) answers(status int) { r.answersBy(func(heard) int { return status }) }

func (r *receiver) answersBy(answer func(heard) int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// take returns what was heard since the last take.
func (r *receiver) take() []heard {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func kinds(messages []heard) []string {
	types := []string{}
	for _, h := range messages {
		types = append(types, h.Type)
	}
	return types
}

func parseID(t *testing.T, id string) uuid.UUID {
	t.Helper()
	parsed, err := uuid.Parse(id)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
