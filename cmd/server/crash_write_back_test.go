package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/staykey/staykey/internal/point"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
	"github.com/staykey/staykey/tools/chaos"
)

// notedHostaway is Hostaway's API, as far as the notes of reservations need it. Staff have written in each.
type notedHostaway struct {
	mu    sync.Mutex
	note  string
	texts int // changes that left a text of staykey's
	wrong []string
}

const staffNote = "Late arrival, baby cot"

func (h *notedHostaway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/v1/accessTokens" {
		_, _ = w.Write([]byte(`{"token_type": "Bearer", "expires_in": 15897600, "access_token": "a-token"}`))
		return
	}
	if r.URL.Path != "/v1/reservations/"+writeBackStay {
		h.wrong = append(h.wrong, r.Method+" "+r.URL.Path)
	}
	if r.Method == http.MethodPut {
		var sent struct{ HostNote *string }
		if json.NewDecoder(r.Body).Decode(&sent) != nil || sent.HostNote == nil {
			h.wrong = append(h.wrong, "a change without hostNote")
			return
		}
		if h.note = *sent.HostNote; strings.Contains(h.note, "staykey") {
			h.texts++
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{
		"status": "success", "result": map[string]any{"hostNote": h.note},
	})
}

func (h *notedHostaway) now() (note string, texts int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.note, h.texts
}

// writeBackDeath is a step at which the program dies, and what it is doing.
type writeBackDeath struct {
	at point.Name
	// writing the link, replacing it with another guest's, or clearing it; kept is writing it for a key that stays
	doing string
}

// TestWriteBackKilledAtMarkedPoints has the program, built with marks, kill itself at each step of writing a link into
// a field of the PMS, of replacing it and of clearing it. The key is taken away while nobody runs that has the lease,
// so that whatever was decided before is wrong afterwards: nothing is written for the key any more, what was written
// is cleared, and what staff have written stays. STAYKEY_WRITE_BACK_POINTS is how many of the cases are drawn.
func TestWriteBackKilledAtMarkedPoints(t *testing.T) {
	t.Parallel()
	markedProgram(t)
	var cases []writeBackDeath
	for _, at := range point.WriteBack {
		for _, doing := range []string{"writing", "replacing", "clearing", "kept"} {
			cases = append(cases, writeBackDeath{at, doing})
		}
	}
	for _, c := range chaos.Draw(cases, chaos.Size("STAYKEY_WRITE_BACK_POINTS", 4)) {
		t.Run(c.doing+", "+string(c.at), func(t *testing.T) {
			t.Parallel()
			newWriteBackRig(t).play(c)
		})
	}
}

// writeBackStay is the only stay of a rig.
const writeBackStay = "4101"

// writeBackRig is a rig whose source writes into a field that staff write into, too.
type writeBackRig struct {
	*crashRig
	api *notedHostaway
	db  *pgx.Conn
}

func newWriteBackRig(t *testing.T) *writeBackRig {
	t.Helper()
	api := &notedHostaway{note: staffNote}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	dsn := storetest.DSN(t)
	r := &writeBackRig{crashRig: layRig(t, dsn), api: api}
	r.env = withGuestLinks(t, r.env, `    write_back: {to: hostaway, url: "`+server.URL+
		`/v1", client_id: "the-client", client_secret: "the-secret", field: hostNote}`)
	var err error
	if r.db, err = pgx.Connect(context.Background(), dsn); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.db.Close(context.Background()) })
	return r
}

func (r *writeBackRig) play(c writeBackDeath) {
	begun := time.Now()
	book := func() { r.reserve(writeBackStay, "A", "jane", 2) }
	act := book
	if c.doing == "replacing" || c.doing == "clearing" {
		r.replicas = []*process{launch(r.t, r.env)}
		r.furnish()
		book()
		r.untilStatus("written")
		_ = r.replicas[0].cmd.Process.Signal(syscall.SIGTERM) // it gives its lease back
		<-r.replicas[0].done
		if act = r.cancelStay; c.doing == "replacing" {
			act = func() { r.reserve(writeBackStay, "A", "john", 2) }
		}
	}
	p := launchMarked(r.t, append(slices.Clone(r.env), "STAYKEY_CHAOS_POINT="+string(c.at)))
	r.replicas = []*process{p}
	var acting sync.WaitGroup
	acting.Go(func() {
		if c.doing != "replacing" && c.doing != "clearing" {
			r.furnish()
		}
		act() // its answer may be lost with the process: then the next one gets it
	})
	received(r.t, "the point "+string(c.at), p.done)
	r.kills++
	r.leaseUntil("1 hour") // the dead one's: nobody else may write yet
	r.restart(0)
	acting.Wait()
	if c.doing == "kept" {
		r.leaseUntil("-1 second")
		r.untilStatus("written")
		if note, texts := r.api.now(); texts != 1 || !strings.Contains(note, "[staykey] https://keys.example.com/k/") {
			r.t.Errorf("the link was written %d times, and the note is %q", texts, note)
		}
	}
	if c.doing != "clearing" {
		r.cancelStay()
	}
	r.any().until(writeBackStay, "revoked")
	_, before := r.api.now()
	r.leaseUntil("-1 second")
	r.untilStatus("cleared")
	note, texts := r.api.now()
	if note != staffNote {
		r.t.Errorf("the note is %q at the end", note)
	}
	if texts != before {
		r.t.Errorf("%d texts were written for a key that was taken away", texts-before)
	}
	if len(r.api.wrong) > 0 {
		r.t.Errorf("requests that Hostaway doesn't know: %q", r.api.wrong)
	}
	result := chaos.Result{
		Rig: "write-back killed at marked points", Cells: 1, Fired: 1, Kills: r.kills, Events: int(r.events.Load()),
		Converge: []time.Duration{time.Since(begun)},
	}
	if r.t.Failed() {
		result.Wrong = 1
	}
	chaos.Record(r.t, result)
}

func (r *writeBackRig) cancelStay() {
	r.post("reservation.cancelled", map[string]any{"reservation_id": writeBackStay})
}

// leaseUntil has the lease of the source's writer end so long from now.
func (r *writeBackRig) leaseUntil(interval string) {
	r.t.Helper()
	tag, err := r.db.Exec(context.Background(), `
		UPDATE write_back_sources SET lease_until = clock_timestamp() + $1::text::interval`, interval)
	if err != nil || tag.RowsAffected() != 1 {
		r.t.Fatalf("the lease of the writer: %v, %v", tag, err)
	}
}

func (r *writeBackRig) untilStatus(want string) {
	r.t.Helper()
	var got string
	until.Reached(r.t, func() bool {
		_, body := r.any().rest("GET", "/v1/reservations/default/"+writeBackStay)
		status, _ := body["write_back"].(map[string]any)
		got = fmt.Sprint(status)
		return status["status"] == want
	}, func() { r.t.Fatalf("write-back is %s, want %s", got, want) })
}
