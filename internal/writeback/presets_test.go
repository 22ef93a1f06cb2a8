package writeback_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// presetCase is a preset with the fake of its PMS.
type presetCase struct {
	preset string
	field  string // "" is the preset's
	handle func(*fake, http.ResponseWriter, call)
	write  string // how the changing call begins
	shared bool
	reads  bool // the PMS shows the field
}

var presetCases = []presetCase{
	{preset: "hostaway", handle: hostaway, write: "PUT /reservations/", reads: true},
	{preset: "hostaway", field: "hostNote", handle: hostaway, write: "PUT /reservations/", shared: true, reads: true},
	{preset: "hostaway", field: "custom:4711", handle: hostaway, write: "PUT /reservations/", reads: true},
	{preset: "beds24", handle: beds24, write: "POST /bookings", reads: true},
	{preset: "guesty", handle: guesty, write: "PUT /reservations-v3/", reads: true},
	{preset: "guesty", field: "custom:65d8", handle: guesty, write: "PUT /reservations-v3/", reads: true},
	{preset: "ownerrez", field: "77", handle: ownerrez, write: "POST /fields", reads: true},
	{preset: "mews", handle: mews, write: "POST /serviceOrderNotes/add", reads: true},
	{preset: "cloudbeds", field: "key_link", handle: cloudbeds, write: "PUT /putReservation", reads: true},
	{preset: "apaleo", handle: apaleo, write: "PATCH /booking/v1/reservations/", shared: true, reads: true},
	{preset: "hospitable", handle: hospitable, write: "PUT /reservations/"},
	{preset: "smoobu", handle: smoobu, write: "PUT /reservations/", shared: true, reads: true},
	{preset: "hostfully", field: "4f1c-key-link", handle: hostfully, write: "POST /custom-data", reads: true},
	{preset: "lodgify", handle: lodgify, write: "PUT /v2/reservations/"},
}

func (c presetCase) name() string { return strings.TrimSuffix(c.preset+" "+c.field, " ") }

func (c presetCase) rig(t *testing.T) (*rig, *fake, string) {
	t.Helper()
	f := newFake(t, c.handle)
	r := newRig(t, c.preset, f.URL, func(s *pms.WriteBackSettings) {
		if c.field != "" {
			s.Field = c.field
		}
	})
	r.listing("g1")
	return r, f, r.source.WriteBack.Field
}

// each runs a test for each preset.
func each(t *testing.T, test func(t *testing.T, c presetCase)) {
	t.Helper()
	for _, c := range presetCases {
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			test(t, c)
		})
	}
}

// holds reports whether a field holds exactly a text of staykey's, "" for none.
func (c presetCase) holds(field, text string) bool {
	if c.shared && text != "" {
		return strings.Contains(field, "[staykey] "+text+" [/staykey]") && strings.Count(field, "[staykey]") == 1
	}
	if c.shared {
		return !strings.Contains(field, "staykey")
	}
	return field == text
}

func (c presetCase) mustHold(t *testing.T, f *fake, booking, field, text string) {
	t.Helper()
	if got := f.field(booking, field); !c.holds(got, text) {
		t.Errorf("%s of %s holds %q, want %q", field, booking, got, text)
	}
}

// The whole way: key issued, field written; dates and doors change, nothing is written; link renewed, field replaced;
// cancelled, field cleared. One call that changes something for each change, and none for what changes nothing.
func TestPresetsFromKeyToFieldAndBack(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c presetCase) {
		r, f, field := c.rig(t)
		r.settle()
		r.issued("4101")
		r.settle()
		c.mustHold(t, f, "4101", field, r.link("4101"))
		r.mustBe("4101", "written", "")
		r.book("4101", map[string]any{"check_out": r.now().Add(200 * time.Hour).Truncate(time.Hour).Format(
			time.RFC3339)})
		r.until("4101", stay.KeyIssued)
		r.settle()
		if n := f.written("4101"); n != 1 {
			t.Errorf("%d writes after a change of dates, want 1: the link is the same", n)
		}
		before := r.link("4101")
		r.book("4101", map[string]any{"guest_email": "john@example.com"})
		r.until("4101", stay.KeyIssued)
		r.settle()
		if after := r.link("4101"); after == before {
			t.Fatal("another guest has the same link")
		}
		c.mustHold(t, f, "4101", field, r.link("4101"))
		if n := f.written("4101"); n != 2 {
			t.Errorf("%d writes after the link changed, want 2", n)
		}
		r.cancel("4101")
		r.settle()
		c.mustHold(t, f, "4101", field, "")
		r.mustBe("4101", "cleared", "")
		if n := f.written("4101"); n != 3 {
			t.Errorf("%d writes at the end, want 3", n)
		}
		r.advance(time.Hour)
		calls := f.calls("")
		r.settle()
		if n := f.calls(""); n != calls {
			t.Errorf("%d calls although nothing changed", n-calls)
		}
	})
}

// A PMS that asks for silence gets it, and the field is written afterwards.
func TestPresetsRateLimited(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c presetCase) {
		r, f, field := c.rig(t)
		f.fail(fault{
			begins: c.write, n: 1, status: http.StatusTooManyRequests,
			header: map[string]string{"Retry-After": "3600"},
		})
		r.issued("4101")
		r.settle()
		r.mustBe("4101", "failed", "rate_limited")
		calls := f.calls("")
		r.settle()
		if n := f.calls(""); n != calls {
			t.Errorf("%d calls while the PMS asks for silence", n-calls)
		}
		r.advance(2 * time.Hour) // what is tried again is spread over some time after the hour
		r.later()
		c.mustHold(t, f, "4101", field, r.link("4101"))
		r.mustBe("4101", "written", "")
	})
}

// A 200 without effect is not a written field.
func TestPresetsAcceptedWithoutEffect(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c presetCase) {
		if !c.reads {
			t.Skip("this PMS doesn't show the field: nobody can tell")
		}
		r, f, field := c.rig(t)
		f.deaf = true
		r.issued("4101")
		r.settle()
		r.mustBe("4101", "failed", "not_kept")
		f.heal()
		r.later()
		c.mustHold(t, f, "4101", field, r.link("4101"))
		r.mustBe("4101", "written", "")
	})
}

// An answer that is lost leaves a field that may hold the text. It is found out, and the text is not written twice
// where the field can be read.
func TestPresetsLostAnswer(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, c presetCase) {
		r, f, field := c.rig(t)
		f.fail(fault{begins: c.write, n: 1, lose: true})
		r.issued("4101")
		r.settle()
		r.mustBe("4101", "failed", "no_answer")
		r.later()
		c.mustHold(t, f, "4101", field, r.link("4101"))
		r.mustBe("4101", "written", "")
		if n := f.written("4101"); c.reads && n != 1 {
			t.Errorf("%d writes, want 1", n)
		}
		// It is looked at once more, because the lost call may take effect late.
		if len(f.items) > 0 {
			return // the fields of this PMS are objects of their own
		}
		f.set("4101", field, "")
		r.advance(10 * time.Minute)
		r.settle()
		if c.reads {
			c.mustHold(t, f, "4101", field, r.link("4101"))
		}
	})
}

// later is the time when everything that was paused or failed is tried again.
func (r *rig) later() {
	r.t.Helper()
	for range 10 { // a round that gives way, to a limit or to a stay that just changes, leaves its booking due
		r.writer = r.replica(r.store, nil)
		r.exec(`UPDATE write_back_sources SET lease_until = clock_timestamp() - interval '1 second'`)
		r.advance(time.Minute)
		r.settle()
		var due bool
		if err := r.store.Pool().QueryRow(context.Background(),
			`SELECT EXISTS (SELECT FROM write_backs WHERE due_at <= $1)`, r.now()).Scan(&due); err != nil {
			r.t.Fatal(err)
		}
		if !due {
			return
		}
	}
}
