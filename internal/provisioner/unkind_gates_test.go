package provisioner_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/notify"
	"github.com/staykey/staykey/internal/pms"
	domain "github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// unkindGates are the gates of the sources that have some.
var unkindGates = map[string][]pms.Gate{
	"gated": {{Name: "paid", Holds: domain.HoldsKey}, {Name: "signed", Holds: domain.HoldsLink}},
	"strict": {{Name: "paid", Holds: domain.HoldsKey, Revoke: true}, {
		Name: "signed", Holds: domain.HoldsLink,
		Revoke: true,
	}},
}

// gatedSources are the sources with gates.
func gatedSources() []string { return []string{"gated", "strict"} }

// codedSources are the sources with backup codes: with and without gates.
var codedSources = []string{"coded", "strict"}

// policyWithGates is the policy of the worlds' and the matrix' sources.
func policyWithGates(source string) pms.Policy {
	p := pms.DefaultPolicy()
	p.BackupCode = slices.Contains(codedSources, source)
	if gates := unkindGates[source]; gates != nil {
		p.Gates, p.OwnIdentity = gates, true
	}
	return p
}

// gateModel is what was reported about one gate, and what follows from it.
type gateModel struct {
	pms, program, person *gateReport
	opened               bool // it was reported open at some time
}

type gateReport struct {
	state string // "": withdrawn
	nth   int
}

// state is the later report of the PMS and programs, unless a person has decided.
func (g gateModel) state() string {
	switch {
	case g.person != nil && g.person.state != "":
		return g.person.state
	case g.pms == nil && g.program == nil:
		return domain.GateUnknown
	case g.program == nil || g.pms != nil && g.pms.nth > g.program.nth:
		return g.pms.state
	default:
		return g.program.state
	}
}

// gatesOfStay are a stay's gates in the world's own model.
type gatesOfStay struct {
	reports map[string]gateModel
	n       int
	// sealed are the only ACS users that the stay may have while a gate lets no other be created; nil: any. It is set
	// once everything has settled twice since the gate was closed, longer apart than anything that is late.
	sealed   map[string]bool
	restedAt time.Time // the first rest since the gate was closed
}

// closedGates returns the stay's closed gates that let no key be created, whether one that only holds the link was open
// before, whether any takes a key away as long as the stay has not begun, and whether any is closed at all.
func (s *unkindStay) closedGates() (holding, again, takes, any bool) {
	for _, rule := range unkindGates[s.source] {
		g := s.gatesModel.reports[rule.Name]
		if g.state() == domain.GateOpen {
			continue
		}
		any = true
		switch {
		case rule.Holds == domain.HoldsKey, rule.Revoke && g.opened:
			holding, takes = true, takes || rule.Revoke
		case g.opened:
			again = true
		}
	}
	return holding, again, takes, any
}

// changeGate has somebody say something about a gate.
func (w *unkind) changeGate(s *unkindStay) {
	if !s.booked || unkindGates[s.source] == nil {
		return
	}
	name, state := one(w, unkindGates[s.source]...).Name, one(w, domain.GateOpen, domain.GateOpen, domain.GateClosed,
		domain.GateUnknown)
	who := one(w, "pms", "pms", "program", "program", "person", "taken back", "taken back")
	if who == "pms" && s.cancelled {
		return // its events carry the whole reservation
	}
	w.mu.Lock()
	if s.gatesModel.reports == nil {
		s.gatesModel.reports = map[string]gateModel{}
	}
	s.gatesModel.n++
	g, word := s.gatesModel.reports[name], &gateReport{state, s.gatesModel.n}
	switch who {
	case "pms":
		g.pms = word
	case "program":
		g.program = word
	case "taken back":
		word.state = ""
		fallthrough
	default:
		g.person = word
	}
	g.opened = g.opened || word.state == domain.GateOpen
	s.gatesModel.reports[name] = g
	if holding, _, _, _ := s.closedGates(); !holding {
		s.gatesModel.sealed, s.gatesModel.restedAt = nil, time.Time{}
	}
	w.mu.Unlock()
	w.tell("%s: %s: gate %s is %q", s.id, who, name, word.state)
	if who == "pms" {
		with := s.stay
		with.gates = map[string]string{name: state}
		w.book(with)
		return
	}
	ref := store.Ref{Source: s.source, ReservationID: s.id}
	action := intake.GateAction{Name: name, State: word.state, By: who, Person: who != "program"}
	// An event about the stay that is put off, because somebody was writing to it, comes later.
	if _, err := w.applier.SetGate(context.Background(), ref, action); err != nil &&
		!errors.Is(err, store.ErrNotFound) {
		w.t.Error(err)
	}
}

// seal records, when everything rests, which ACS users the stays with closed gates may have.
func (w *unkind) seal() {
	state, now := w.sim.State(), w.now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stays {
		holding, _, _, _ := s.closedGates()
		g := &s.gatesModel
		switch {
		case !holding || g.sealed != nil:
		case g.restedAt.IsZero():
			g.restedAt = now
		case now.Sub(g.restedAt) > 4*unkindLag:
			g.sealed = map[string]bool{}
			for _, u := range state.UsersNamed(s.id) {
				g.sealed[u.ID] = true
			}
		}
	}
}

// wrongUnderGates describes what differs from what closed gates require. done is false if no gate is relevant.
func (w *unkind) wrongUnderGates(s *unkindStay, v store.View, got []access, is string) (wrong string, done bool) {
	holding, again, takes, closed := s.closedGates()
	if closed {
		if wrong := w.wrongNotice(s, v); wrong != "" {
			return wrong, true
		}
	}
	key := v.Key
	removed := str(key.Reason) == domain.ReasonRemovedAtSeam
	switch {
	case !holding && !again:
		return "", false
	case takes && w.now().Before(s.in) || holding && len(got) == 0:
		if len(got) > 0 || key.Status != store.KeyWaiting && !removed {
			return fmt.Sprintf("with a closed gate, but %s, and Seam holds %+v", is, got), true
		}
	case s.listing == "" && len(got) == 0: // nothing is made without a room
		return "", false
	case !holding && s.listing == "" && s.guestChanged &&
		key.Status == store.KeyWaiting: // the key is a former guest's, and no gate is about it
		return "", false
	case key.Status != store.KeyAttention || str(key.Reason) != domain.ReasonGateClosed:
		return "with a gate that was closed again, but " + is, true
	case s.listing != "":
		return w.wrongAtSeam(s, got), true
	case len(got) > 1 || len(got[0].Groups) > 0:
		return fmt.Sprintf("with a closed gate, without a room, but Seam holds %+v", got), true
	}
	return "", true
}

// wrongAtSeam compares what Seam holds with what the last event says.
func (w *unkind) wrongAtSeam(s *unkindStay, got []access) string {
	want := s.wants(map[string]string{"L": system, "M": system, "V": systemB}[s.listing], w.groups[s.listing]...)
	if diff := cmp.Diff([]access{want}, got, ignoreIdentity, byTheMinute); diff != "" {
		return "Seam holds (-want +got):\n" + diff
	}
	return ""
}

// notices is a receiver of mobile_key.held that loses some answers, and the notifier that sends them.
type notices struct {
	notifier *notify.Notifier
	calm     atomic.Bool
	posts    atomic.Int64
}

// listenForHeld subscribes a receiver to keys that gates withhold.
func (w *unkind) listenForHeld() {
	secret, err := pms.ParseSecret("whsec_c3RheWtleS1nYXRlcy1vZi11bmtpbmQtd29ybGRz")
	if err != nil {
		w.t.Fatal(err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(answer http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n := w.notices.posts.Add(1); n%4 == 0 && !w.notices.calm.Load() {
			if n%8 == 0 {
				panic(http.ErrAbortHandler) // it has heard it, and its answer is lost
			}
			answer.WriteHeader(http.StatusBadGateway)
		}
	}))
	receiver.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	w.t.Cleanup(receiver.Close)
	subscription := notify.Subscription{
		Name: "held", URL: receiver.URL, Secrets: []pms.Secret{secret},
		Events: []string{notify.TypeWithheld}, Sources: gatedSources(), Insecure: true,
	}
	w.notices.notifier = notify.New(w.store, slog.New(slog.DiscardHandler), notify.Options{
		Subscriptions: func() []notify.Subscription { return []notify.Subscription{subscription} }, Version: "test",
		Now:   w.now,
		Gates: func(source string) []pms.Gate { return unkindGates[source] }, GatedSources: gatedSources,
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.notices.notifier.Run(ctx, time.Minute)
	}()
	w.t.Cleanup(func() {
		cancel()
		<-done
	})
}

// restOfNotices waits until what is due to be sent is sent.
func (w *unkind) restOfNotices() {
	to := w.now().Add(-2 * time.Second) // deadlines are looked at once a second
	waitFor(w.t, "notices to be sent", func() bool {
		w.notices.notifier.Wake()
		var busy bool
		if err := w.store.Pool().QueryRow(context.Background(), `
			SELECT EXISTS (SELECT FROM stay_changes)
				OR coalesce((SELECT looked_to FROM gate_deadlines), '-infinity') < $1
				OR EXISTS (SELECT FROM subscriptions WHERE position < (SELECT max(position) FROM stay_positions))
				OR EXISTS (SELECT FROM subscription_stays JOIN subscriptions ON name = subscription
					WHERE due_at <= $1 AND coalesce(not_before, '-infinity') <= $1)`, to).Scan(&busy); err != nil {
			w.t.Fatal(err)
		}
		return !busy
	})
}

// wrongNotice says which mobile_key.held is missing: of the last deadline that has passed before the check-in as it is
// now.
func (w *unkind) wrongNotice(s *unkindStay, v store.View) string {
	if !slices.Contains([]string{store.KeyWaiting, store.KeyAttention, store.KeyIssued, store.KeyActive},
		v.Key.Status) {
		return ""
	}
	want := ""
	for _, before := range []string{"24h", "2h"} {
		d, err := time.ParseDuration(before)
		if err != nil {
			w.t.Fatal(err)
		}
		if w.now().Add(-2 * time.Second).After(s.in.Add(-d)) {
			want = d.String() + " before " + pms.FormatInstant(s.in)
		}
	}
	if want == "" {
		return ""
	}
	var reported string
	err := w.store.Pool().QueryRow(context.Background(), `
		SELECT coalesce((SELECT reported->>'held' FROM subscription_stays WHERE source = $1 AND reservation_id = $2),
			'')`, s.source, s.id).Scan(&reported)
	if err != nil {
		w.t.Fatal(err)
	}
	if reported != want && w.now().Sub(s.in.Add(-2*time.Hour)).Abs() > time.Minute &&
		w.now().Sub(s.in.Add(-24*time.Hour)).Abs() > time.Minute {
		return fmt.Sprintf("a gate is closed, and the notice sent last is %q instead of %q", reported, want)
	}
	return ""
}
