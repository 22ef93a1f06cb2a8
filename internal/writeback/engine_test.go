package writeback_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
	"github.com/staykey/staykey/tools/chaos"
)

// seamCalls are those that Seam was asked so far.
func (r *rig) seamCalls() int { return len(r.sim.Records()) }

// sequence is the number of a stay's last change that subscribers can see.
func (r *rig) sequence(id string) (n int64) {
	r.t.Helper()
	if err := r.store.Pool().QueryRow(context.Background(),
		`SELECT sequence FROM mobile_keys WHERE reservation_id = $1`, id).Scan(&n); err != nil {
		r.t.Fatal(err)
	}
	return n
}

// The PMS reports each write with its webhook "updated". That writes nothing, asks Seam nothing and tells subscribers
// nothing.
func TestTheEchoChangesNothing(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	r := newRig(t, "hostaway", f.URL, nil)
	format, err := pms.LoadFormat("hostaway")
	if err != nil {
		t.Fatal(err)
	}
	r.source.Format = format
	r.send("listing.updated", map[string]any{"listing_id": "7", "seam_access_group_ids": []string{"g1"}})
	in := r.now().Add(48 * time.Hour)
	version := 0
	webhook := func() {
		version++
		r.post(fmt.Appendf(nil,
			`{"object": "reservation", "event": "reservation.updated", "data": {"id": 4101, "listingMapId": 7, "status": "modified",
			"guestEmail": "jane@example.com", "guestName": "Jane", "arrivalDate": %q, "departureDate": %q, "doorCode": %q, "updatedOn": "2030-01-01 10:00:%02d"}}`,
			in.Format("2006-01-02"), in.Add(72*time.Hour).Format("2006-01-02"), f.field("4101", "doorCode"), version),
			`{}`)
	}
	webhook()
	r.until("4101", stay.KeyIssued)
	r.settle()
	if f.field("4101", "doorCode") != r.link("4101") {
		t.Fatalf("doorCode is %q", f.field("4101", "doorCode"))
	}
	calls, sequence, asked := r.seamCalls(), r.sequence("4101"), f.calls("")
	for range 5 {
		webhook()
		r.settle()
	}
	if n := r.seamCalls(); n != calls {
		t.Errorf("%d calls to Seam because of echoes", n-calls)
	}
	if n := r.sequence("4101"); n != sequence {
		t.Errorf("the sequence rose from %d to %d", sequence, n)
	}
	if n := f.calls(""); n != asked {
		t.Errorf("%d calls to the PMS because of echoes", n-asked)
	}
}

// The route that works is remembered, and used first from then on.
func TestSecondRoute(t *testing.T) {
	t.Parallel()
	f := newFake(t, guesty)
	r := newRig(t, "guesty", f.URL, nil)
	r.listing("g1")
	r.issued("7001")
	r.settle()
	if got := f.field("7001", "keyCode"); got != r.link("7001") {
		t.Fatalf("keyCode is %q", got)
	}
	tried := f.calls("PUT /reservations-v3/")
	r.cancel("7001")
	r.settle()
	if got := f.field("7001", "keyCode"); got != "" {
		t.Errorf("keyCode is %q after the cancellation", got)
	}
	if n := f.calls("PUT /reservations-v3/"); tried != 1 || n != 1 {
		t.Errorf("the first route was tried %d times, and %d times after the second one had worked", tried, n-tried)
	}
}

// A booking that the PMS doesn't know can't be written, and needs no clearing.
func TestUnknownBookings(t *testing.T) {
	t.Parallel()
	f := newFake(t, guesty)
	f.known = func(string) bool { return false }
	r := newRig(t, "guesty", f.URL, nil)
	r.listing("g1")
	r.issued("4101")
	r.settle()
	r.mustBe("4101", "failed", "not_found")
	if status := r.view("4101").Key.Status; status != stay.KeyIssued {
		t.Errorf("the key is %s: the write-back has touched it", status)
	}
	r.cancel("4101")
	r.settle()
	r.mustBe("4101", "cleared", "")
}

// What people wrote over staykey's text is theirs, and so is what they wrote around it.
func TestWhatPeopleWrite(t *testing.T) {
	t.Parallel()
	t.Run("instead", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, hostaway)
		r := newRig(t, "hostaway", f.URL, nil)
		r.listing("g1")
		r.issued("4101")
		r.settle()
		f.set("4101", "doorCode", "ask at the desk")
		r.cancel("4101")
		r.settle()
		if got := f.field("4101", "doorCode"); got != "ask at the desk" {
			t.Errorf("doorCode is %q", got)
		}
		r.mustBe("4101", "cleared", "")
	})
	t.Run("around it", func(t *testing.T) {
		t.Parallel()
		f := newFake(t, apaleo)
		f.set("4101", "comment", "VIP\nlate arrival")
		r := newRig(t, "apaleo", f.URL, nil)
		r.listing("g1")
		r.issued("4101")
		r.settle()
		f.set("4101", "comment", f.field("4101", "comment")+"\nallergic to cats")
		r.book("4101", map[string]any{"guest_email": "john@example.com"})
		r.until("4101", stay.KeyIssued)
		r.settle()
		if got, want := f.field("4101", "comment"), "VIP\nlate arrival\n[staykey] "+r.link("4101")+
			" [/staykey]\nallergic to cats"; got != want {
			t.Errorf("comment is %q, want %q", got, want)
		}
		r.cancel("4101")
		r.settle()
		if got := f.field("4101", "comment"); got != "VIP\nlate arrival\nallergic to cats" {
			t.Errorf("comment is %q at the end", got)
		}
	})
}

// A key that is taken away after the decision, and before the call leaves, is not written.
func TestNothingIsWrittenForAKeyThatIsGone(t *testing.T) {
	t.Parallel()
	f := newFake(t, beds24)
	r := newRig(t, "beds24", f.URL, nil)
	r.listing("g1")
	r.issued("4101")
	var once sync.Once
	r.writer = r.replica(r.store, func(name point.Name) {
		if name == point.WriteBackRead {
			once.Do(func() { r.cancel("4101") })
		}
	})
	r.settle()
	if n := f.written("4101"); n != 0 || f.field("4101", "STAYKEY") != "" {
		t.Errorf("%d changing calls, and the field is %q", n, f.field("4101", "STAYKEY"))
	}
	r.mustBe("4101", "cleared", "")
}

// A key is taken away while a replica is at a step, and the replica is killed there. Nothing is written for that key
// after that, by anybody; what was written before is cleared.
func TestNothingIsWrittenAfterADeath(t *testing.T) {
	t.Parallel()
	for _, at := range point.WriteBack {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			f := newFake(t, apaleo)
			r := newRig(t, "apaleo", f.URL, nil)
			r.listing("g1")
			r.issued("4101")
			texts, died := 0, false
			var once sync.Once
			mortal := r.replica(r.store, func(name point.Name) {
				if name != at {
					return
				}
				once.Do(func() {
					r.cancel("4101")
					f.mu.Lock()
					texts, died = f.texts, true
					f.mu.Unlock()
				})
				runtime.Goexit() // nothing after this step happens
			})
			var working sync.WaitGroup
			working.Go(func() {
				for n, err := 1, error(nil); n > 0 && err == nil; {
					n, err = mortal.Round(context.Background(), "default")
					f.mu.Lock()
					if died {
						n = 0
					}
					f.mu.Unlock()
				}
			})
			working.Wait()
			if !died {
				t.Fatal("the step was not reached")
			}
			for range 3 { // looks for what lost calls have left included
				r.later()
				r.advance(time.Hour)
			}
			if f.texts != texts {
				t.Errorf("%d texts were written after the key was taken away", f.texts-texts)
			}
			if got := f.field("4101", "comment"); got != "" {
				t.Errorf("the comment is %q", got)
			}
			r.mustBe("4101", "cleared", "")
		})
	}
}

// A gate that withholds the link keeps the field empty; one that closes again leaves it alone.
func TestGatesHoldTheFieldBack(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	r := newRig(t, "hostaway", f.URL, nil)
	r.listing("g1")
	r.exec(
		`INSERT INTO settings (name, value) VALUES ('policy_text:default',
			'{"Gates": [{"Name": "verified", "Holds": "link"}]}')
		ON CONFLICT (name) DO UPDATE SET value = excluded.value`)
	r.issued("4101")
	r.settle()
	if got := f.field("4101", "doorCode"); got != "" {
		t.Fatalf("doorCode is %q while the gate is closed", got)
	}
	word := func(state string) {
		r.exec(
			`INSERT INTO gate_reports (source, reservation_id, name, person, state, by, at, opened)
				VALUES ('default', '4101', 'verified', true, $1, 'Maria', now(), $1 = 'open')
			ON CONFLICT (source, reservation_id, name, person) DO UPDATE SET state = excluded.state,
				at = clock_timestamp(), opened = gate_reports.opened OR excluded.opened`, state)
		r.settle()
	}
	word("open")
	if got := f.field("4101", "doorCode"); got != r.link("4101") {
		t.Errorf("doorCode is %q after the gate opened", got)
	}
	word("closed")
	if n := f.written("4101"); n != 1 {
		t.Errorf("%d writes after the gate closed again", n)
	}
}

// Another field in the configuration: the old one is cleared, and the new one written. Clear empties what was written.
func TestChangedSettings(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	r := newRig(t, "hostaway", f.URL, nil)
	r.listing("g1")
	r.issued("4101")
	r.settle()
	changed := *r.source.WriteBack
	changed.Field = "custom:17"
	r.source.WriteBack = &changed
	r.settle()
	if old, now := f.field("4101", "doorCode"), f.field("4101", "custom:17"); old != "" || now != r.link("4101") {
		t.Errorf("the old field is %q, the new one %q", old, now)
	}
	cleared := changed
	cleared.Clear = true
	r.source.WriteBack = &cleared
	r.settle()
	if now := f.field("4101", "custom:17"); now != "" {
		t.Errorf("the field is %q although everything is cleared", now)
	}
	r.mustBe("4101", "cleared", "")
}

// The rooms of one booking share its field, and each one's text goes with its key.
func TestRoomsShareTheField(t *testing.T) {
	t.Parallel()
	f := newFake(t, cloudbeds)
	r := newRig(t, "cloudbeds", f.URL, func(s *pms.WriteBackSettings) { s.Field = "key_link" })
	r.listing("g1")
	for _, id := range []string{"B_1", "B_2"} {
		r.issued(id)
		r.exec(`UPDATE reservations SET booking_id = 'B' WHERE reservation_id = $1`, id)
	}
	r.exec(`DELETE FROM write_backs`)
	r.settle()
	if got, want := f.field("B", "key_link"), r.link("B_1")+"\n"+r.link("B_2"); got != want {
		t.Errorf("key_link is %q, want %q", got, want)
	}
	one := r.link("B_2")
	r.cancel("B_1")
	r.settle()
	if got := f.field("B", "key_link"); got != one {
		t.Errorf("key_link is %q after one room was cancelled, want %q", got, one)
	}
	r.cancel("B_2")
	r.settle()
	if got := f.field("B", "key_link"); got != "" {
		t.Errorf("key_link is %q at the end", got)
	}
}

// One replica writes at a time, and another one takes over when its lease has ended.
func TestReplicas(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	r := newRig(t, "hostaway", f.URL, nil)
	r.listing("g1")
	r.settle() // takes the lease
	r.issued("4101")
	other := r.replica(r.store, nil)
	if n, err := other.Round(t.Context(), "default"); n != 0 || err != nil {
		t.Fatalf("a replica without the lease did %d things: %v", n, err)
	}
	r.exec(`UPDATE write_back_sources SET lease_until = clock_timestamp() - interval '1 second'`)
	for n := 1; n > 0; {
		var err error
		if n, err = other.Round(t.Context(), "default"); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.written("4101"); n != 1 {
		t.Errorf("%d writes", n)
	}
	r.book("4101", map[string]any{"guest_email": "john@example.com"})
	r.until("4101", stay.KeyIssued)
	if _, err := r.writer.Round(t.Context(), "default"); !errors.Is(err, store.ErrLeaseLost) {
		t.Errorf("the replica whose lease has ended: %v", err)
	}
	if n := f.written("4101"); n != 1 {
		t.Errorf("it wrote: %d", n)
	}
}

// A replica that dies at any step leaves nothing that another one doesn't put right: the field ends as it should, is
// written once where it can be read, and nothing is written for a key that was taken away meanwhile.
func TestDeaths(t *testing.T) {
	t.Parallel()
	cases := []presetCase{
		presetCases[0], presetCases[1], presetCases[3],
		{preset: "mews", handle: mews, reads: true},
		{preset: "hospitable", handle: hospitable},
	}
	for _, c := range chaos.Draw(cases, chaos.Size("STAYKEY_WRITE_BACK_DEATHS", len(cases))) {
		for _, at := range point.WriteBack {
			for key, taken := range map[string]bool{"the key stays": false, "the key is taken away": true} {
				t.Run(fmt.Sprintf("%s/%s/%s", c.name(), at, key), func(t *testing.T) {
					t.Parallel()
					r, f, field := c.rig(t)
					r.issued("4101")
					r.dies(at)
					if taken {
						r.cancel("4101")
					}
					before := f.written("4101")
					r.later()
					if taken {
						c.mustHold(t, f, "4101", field, "")
						if n := f.written("4101") - before; n > 1 {
							t.Errorf("%d changing calls after the key was taken away, want at most the one that clears",
								n)
						}
						return
					}
					c.mustHold(t, f, "4101", field, r.link("4101"))
					r.mustBe("4101", "written", "")
					if n := f.written("4101"); n > 1 && c.reads || n > 2 {
						t.Errorf("%d writes", n)
					}
					r.cancel("4101")
					r.dies(at)
					r.later()
					c.mustHold(t, f, "4101", field, "")
					r.mustBe("4101", "cleared", "")
				})
			}
		}
	}
}

// dies has a replica work until it dies at a step: its connections to the database end there. A step that it doesn't
// reach is none to die at.
func (r *rig) dies(at point.Name) {
	r.t.Helper()
	db, err := store.Open(context.Background(), r.dsn)
	if err != nil {
		r.t.Fatal(err)
	}
	var dead atomic.Bool
	mortal := r.replica(db, func(name point.Name) {
		if name == at && dead.CompareAndSwap(false, true) {
			db.Close()
		}
	})
	r.exec(`UPDATE write_back_sources SET lease_until = clock_timestamp() - interval '1 second'`)
	for range 100 {
		if n, err := mortal.Round(context.Background(), "default"); n == 0 || err != nil {
			break
		}
	}
	if !dead.Load() {
		db.Close()
	}
}

// The PMS's limits are kept with many stays, whatever they cost. STAYKEY_WRITE_BACK_STAYS sets how many.
func TestLimitsWithManyStays(t *testing.T) {
	t.Parallel()
	stays := 120
	if n, err := strconv.Atoi(os.Getenv("STAYKEY_WRITE_BACK_STAYS")); err == nil {
		stays = n
	}
	const most = 100 // in any second
	var mu sync.Mutex
	var at []time.Time
	f := newFake(t, func(f *fake, w http.ResponseWriter, r call) {
		mu.Lock()
		at = append(at, time.Now())
		mu.Unlock()
		hostaway(f, w, r)
	})
	r := newRig(t, "hostaway", f.URL, func(s *pms.WriteBackSettings) {
		s.Account.Limits, s.Account.AtOnce = []pms.Limit{{Requests: most, Seconds: 1}}, 1
	})
	r.listing("g1")
	r.issued("100000")
	r.copyStay("100000", 100001, 100000+stays-1)
	for range stays/500 + 1 { // each settles what some rounds can
		for n, rounds := 1, 0; n > 0 && rounds < 1000; rounds++ {
			var err error
			if n, err = r.writer.Round(context.Background(), "default"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range stays {
		if id := strconv.Itoa(100000 + i); f.written(id) != 1 {
			t.Fatalf("%s was written %d times", id, f.written(id))
		}
	}
	// One call is on its way at a time, so a call is at most one later in this list than it was when it left.
	for i := most + 1; i < len(at); i++ {
		if within := at[i].Sub(at[i-most-1]); within < time.Second-10*time.Millisecond {
			t.Fatalf("%d calls within %v", most+2, within)
		}
	}
	took := at[len(at)-1].Sub(at[0]).Round(time.Second)
	t.Logf("%d fields in %s, %d calls, at most %d a second", stays, took, len(at), most)
}

// copyStay copies a stay that has its key, as if the provisioner had made keys for all of them: what the PMS is asked
// doesn't depend on how they were made.
func (r *rig) copyStay(id string, first, last int) {
	r.t.Helper()
	for _, copied := range []struct{ table, keys string }{
		{"reservations", `'reservation_id', n::text`},
		{"user_identities", `'user_identity_key', 'key-' || n, 'user_identity_id', 'identity-' || n`},
		{"acs_users", `'id', nextval(pg_get_serial_sequence('acs_users', 'id')), 'reservation_id', n::text,
			'acs_user_id', 'user-' || n, 'acs_credential_id', 'credential-' || n, 'user_identity_key', 'key-' || n, 'user_identity_id', 'identity-' || n`},
		{"mobile_keys", `'reservation_id', n::text, 'status', 'provisioning'`},
	} {
		of := `r.reservation_id = $1`
		if copied.table == "user_identities" {
			of = `r.user_identity_key = (SELECT user_identity_key FROM acs_users WHERE reservation_id = $1)`
		}
		var columns string
		if err := r.store.Pool().QueryRow(context.Background(), `
			SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
			WHERE table_schema = current_schema() AND table_name = $1 AND is_generated = 'NEVER'`,
			copied.table).Scan(&columns); err != nil {
			r.t.Fatal(err)
		}
		r.exec(`INSERT INTO `+copied.table+` (`+columns+`) OVERRIDING SYSTEM VALUE
			SELECT `+columns+` FROM (SELECT (jsonb_populate_record(r, jsonb_build_object(`+copied.keys+`))).*
				FROM `+copied.table+` r, generate_series($2::int, $3::int) AS n WHERE `+of+`) copies`, id, first, last)
	}
	r.exec(`UPDATE mobile_keys SET status = 'issued' WHERE status = 'provisioning'`) // a change that is taken up
}

// The text is in neither the database nor an error.
func TestTextsAreNotStored(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	f.fail(fault{begins: "PUT", n: 1, status: 422, body: `{"message": "the-client-secret of jane@example.com"}`})
	r := newRig(t, "hostaway", f.URL, nil)
	r.listing("g1")
	r.issued("4101")
	r.settle()
	r.mustBe("4101", "failed", "refused")
	r.later()
	r.mustBe("4101", "written", "")
	id := strings.TrimPrefix(r.link("4101"), links)
	for _, table := range []string{"write_backs", "write_back_sources", "timeline"} {
		var found int
		if err := r.store.Pool().QueryRow(context.Background(),
			`SELECT count(*) FROM `+table+` t WHERE t::text LIKE ANY ($1)`,
			[]string{"%" + id + "%", "%the-client-secret%", "%jane@example.com%"}).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if found > 0 {
			t.Errorf("%d rows of %s hold what must not be stored", found, table)
		}
	}
}

// A booking whose reservations are deleted leaves nothing in its field, and no row.
func TestDeletedReservations(t *testing.T) {
	t.Parallel()
	f := newFake(t, hostaway)
	r := newRig(t, "hostaway", f.URL, nil)
	r.listing("g1")
	for _, id := range []string{"4101", "4102"} {
		r.issued(id)
	}
	r.settle()
	r.cancel("4102")
	r.settle()
	r.exec(`DELETE FROM acs_users`)
	r.exec(`DELETE FROM mobile_keys`)
	r.exec(`DELETE FROM reservations`)
	r.settle()
	if got := f.field("4101", "doorCode"); got != "" {
		t.Errorf("doorCode is %q", got)
	}
	var rows int
	if err := r.store.Pool().QueryRow(t.Context(), `SELECT count(*) FROM write_backs`).Scan(&rows); err != nil ||
		rows != 0 {
		t.Errorf("%d rows are left: %v", rows, err)
	}
}
