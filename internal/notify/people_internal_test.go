package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// chat is a chat's incoming webhook.
type chat struct {
	*httptest.Server
	mu     sync.Mutex
	texts  []string
	status int
}

func newChat(t *testing.T) *chat {
	t.Helper()
	c := &chat{status: 200}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Text string }
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || r.Header.Get("webhook-signature") != "" {
			t.Errorf("a chat was sent %v, %v", err, r.Header)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.texts = append(c.texts, body.Text)
		w.WriteHeader(c.status)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *chat) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	texts := c.texts
	c.texts = nil
	return texts
}

func (c *chat) answers(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status = status
}

// mailbox is a mail server that keeps what it gets.
type mailbox struct {
	port   int
	mu     sync.Mutex
	mails  []string
	refuse string // what it answers to a message, "" to take it
}

func newMailbox(t *testing.T) *mailbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	m := &mailbox{port: l.Addr().(*net.TCPAddr).Port}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go m.serve(conn)
		}
	}()
	return m
}

// serve speaks as much SMTP as a client needs (RFC 5321).
func (m *mailbox) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	in := bufio.NewReader(conn)
	say := func(line string) { _, _ = fmt.Fprintf(conn, "%s\r\n", line) }
	say("220 mail.example.com")
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); verb {
		case "DATA":
			say("354 go ahead")
			var text strings.Builder
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				if strings.TrimRight(line, "\r\n") == "." {
					break
				}
				text.WriteString(line)
			}
			m.mu.Lock()
			refuse := m.refuse
			if refuse == "" {
				m.mails = append(m.mails, text.String())
			}
			m.mu.Unlock()
			if refuse != "" {
				say(refuse)
				continue
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// take returns the mails as people read them: headers and text.
func (m *mailbox) take(t *testing.T) []string {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	var mails []string
	for _, raw := range m.mails {
		head, body, _ := strings.Cut(raw, "\r\n\r\n")
		text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(body)))
		if err != nil {
			t.Fatal(err)
		}
		mails = append(mails, head+"\n\n"+string(text))
	}
	m.mails = nil
	return mails
}

func (m *mailbox) subscription() Subscription {
	return Subscription{
		Name: "desk", Kind: KindEmail, Events: PeopleTypes(), Insecure: true,
		Mail: &Mail{
			Host: "127.0.0.1", Port: m.port, TLS: MailPlain, From: "staykey@example.com",
			To: []string{"desk@example.com", "night@example.com"},
		},
	}
}

func TestAChatHearsWhatNeedsAPerson(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Subscription{
		Name: "team", Kind: KindSlack, URL: c.URL, Events: PeopleTypes(), Insecure: true,
		Zone: madrid,
	})
	r.exec(
		`INSERT INTO listings (source, listing_id, name, known, created_at, updated_at) VALUES ('default', 'L1', 'Sea <View> & more', true, now(), now())`)
	for _, id := range []string{"R1", "R2", "R3"} {
		r.stay(id)
		r.key(id, "issued", "")
	}
	r.settle()
	if got := c.take(); len(got) > 0 {
		t.Fatalf("nobody is needed, and the chat hears %q", got)
	}
	r.key("R1", "attention", "not_subscribed")
	r.key("R2", "attention", "held")
	r.exec(
		`UPDATE mobile_keys SET message = CASE reason WHEN 'held' THEN 'held because Jane Doe phoned' ELSE 'Check the subscriptions.' END WHERE status = 'attention'`)
	r.settle()
	got := strings.Join(c.take(), "\n---\n")
	for _, want := range []string{
		"2 stays need a person:",
		"- R1, Sea &lt;View&gt; &amp; more, arrives 2024-11-01 16:00: Check the subscriptions. https://keys.example.com/reservations/default/R1",
		"- R2, Sea", "On hold by an admin",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if strings.Contains(got, "---") || strings.Contains(got, "Jane") || strings.Contains(got, "jane") {
		t.Errorf("the chat gets %q, want one message without guest data", got)
	}

	// A failure is tried again, together; a guest's name is only in it if the subscription says so.
	c.answers(500)
	r.subscriptions = slices.Clone(r.subscriptions) // a new configuration
	r.subscriptions[0].GuestName = true
	r.key("R1", "attention", "rejected_by_seam")
	r.key("R2", "attention", "rejected_by_seam")
	r.exec(`UPDATE mobile_keys SET message = 'See last_error.' WHERE status = 'attention'`)
	r.settle()
	c.take()
	c.answers(200)
	r.pass(7 * time.Second)
	r.settle()
	again := c.take()
	if len(again) != 1 || strings.Count(again[0], "Jane Doe") != 2 {
		t.Errorf("the chat hears %q", again)
	}
	if list := r.deliveries(store.DeliveryFilter{Status: []string{store.DeliveryDelivered}}); len(list) != 4 ||
		strings.Contains(string(list[0].Body), "Jane") {
		t.Errorf("deliveries: %+v", list)
	}
}

func TestMail(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	r := newRig(t, m.subscription())
	r.stay("R1")
	r.key("R1", "attention", "not_subscribed")
	r.settle()
	mails := m.take(t)
	if len(mails) != 1 {
		t.Fatalf("%d mails", len(mails))
	}
	for _, want := range []string{
		"Subject: staykey: 1 stay needs a person",
		"To: <desk@example.com>, <night@example.com>", "From: <staykey@example.com>", "Auto-Submitted: auto-generated",
		"- R1, arrives 2024-11-01 15:00",
	} {
		if !strings.Contains(mails[0], want) {
			t.Errorf("the mail lacks %q:\n%s", want, mails[0])
		}
	}
	m.mu.Lock()
	m.refuse = "550 desk@example.com is not here"
	m.mu.Unlock()
	r.key("R1", "attention", "rejected_by_seam")
	r.settle()
	d := r.deliveries(store.DeliveryFilter{Status: []string{store.DeliveryWaiting}})
	if len(d) != 1 {
		t.Fatalf("waiting: %+v", d)
	}
	if s := r.state("desk"); s.LastError == nil || *s.LastError != "the mail server answered 550" {
		t.Errorf("the subscription: %+v", s)
	}
	m.mu.Lock()
	m.refuse = ""
	m.mu.Unlock()
	r.pass(time.Minute)
	r.settle()
	if mails := m.take(t); len(mails) != 1 {
		t.Errorf("%d mails after the refusal", len(mails))
	}
	if test, _, err := r.Test(context.Background(), r.subscriptions[0]); err != nil ||
		test.Status != store.DeliveryDelivered || len(m.take(t)) != 1 {
		t.Errorf("test message: %+v, %v", test, err)
	}
	guarded := m.subscription()
	guarded.Insecure = false
	if test, result, err := r.Test(context.Background(), guarded); err != nil ||
		test.Status == store.DeliveryDelivered || !strings.Contains(result.Error, "insecure: true") {
		t.Errorf("a mail server on a private address: %+v, %+v, %v", test, result, err)
	}
}

// A key that a gate withholds before its guest arrives is one mail at each deadline, which names the gate and no
// guest.
func TestMailAboutHeldKeys(t *testing.T) {
	t.Parallel()
	m := newMailbox(t)
	r := newRig(t, m.subscription())
	r.gated = []pms.Gate{{Name: "paid", Holds: "key"}, {Name: "signed", Holds: "link"}}
	r.now = starts.Add(-72 * time.Hour)
	for _, id := range []string{"R1", "R2", "open"} {
		r.stay(id)
		r.say(id, "signed", "open")
		r.key(id, "waiting", "gate_closed")
	}
	r.say("open", "paid", "open")
	r.say("R2", "paid", "closed")
	r.settle()
	if mails := m.take(t); len(mails) != 0 {
		t.Fatalf("three days before: %q", mails)
	}
	for _, before := range []time.Duration{24 * time.Hour, 2 * time.Hour} {
		r.now = starts.Add(-before)
		r.settle()
		r.settle()
		mails := m.take(t)
		if len(mails) != 1 {
			t.Fatalf("%s before check-in: %d mails", before, len(mails))
		}
		for _, want := range []string{
			"Subject: staykey: 2 keys are withheld by a gate",
			"- R1, arrives 2024-11-01 15:00: paid is unknown", "- R2, arrives 2024-11-01 15:00: paid is closed",
		} {
			if !strings.Contains(mails[0], want) {
				t.Errorf("%s before check-in the mail lacks %q:\n%s", before, want, mails[0])
			}
		}
		for _, never := range []string{"Jane", "jane@", "signed", "- open"} {
			if strings.Contains(mails[0], never) {
				t.Errorf("the mail says %q:\n%s", never, mails[0])
			}
		}
	}
}

func TestDailyDigest(t *testing.T) {
	t.Parallel()
	c := newChat(t)
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, Subscription{
		Name: "team", Kind: KindSlack, URL: c.URL, Events: PeopleTypes(), Insecure: true,
		Zone: madrid, Digest: &Digest{Hour: 8},
	})
	for id, status := range map[string]string{"ready": "issued", "late": "waiting", "sick": "attention"} {
		r.stay(id)
		r.key(id, status, "")
	}
	r.exec(`UPDATE mobile_keys SET check_in = $1`, starts)
	r.settle()
	c.take() // that a person is needed
	r.exec(`UPDATE reservations SET check_in = $1`, starts.Add(24*time.Hour))
	r.exec(`UPDATE mobile_keys SET check_in = $1`, starts.Add(24*time.Hour))
	look := func() []string {
		r.pass(digestsEvery)
		r.settle()
		return c.take()
	}
	for hours := 0; hours < 18; hours++ { // it is 12:00 UTC, 13:00 in Madrid
		if got := look(); len(got) > 0 {
			t.Fatalf("a digest %d hours too early: %q", hours, got)
		}
		r.pass(time.Hour)
	}
	c.answers(500)
	r.pass(time.Hour)
	if got := look(); len(got) != 1 {
		t.Fatalf("%d digests at 8:00", len(got))
	}
	c.answers(200)
	got := look() // it failed, and is tried again
	if len(got) != 1 {
		t.Fatalf("%d digests at the second try", len(got))
	}
	for _, want := range []string{
		"3 arrivals within 24 hours, 2 without a key.", "- late, arrives 2024-11-02 16:00",
		"- sick, arrives", "1 stay needs a person.",
	} {
		if !strings.Contains(got[0], want) {
			t.Errorf("the digest lacks %q:\n%s", want, got[0])
		}
	}
	if strings.Contains(got[0], "Jane") {
		t.Errorf("the digest names a guest:\n%s", got[0])
	}
	for range 20 {
		r.pass(time.Hour)
		if got := look(); len(got) > 0 {
			t.Fatalf("a second digest on one day: %q", got)
		}
	}
	for range 4 {
		r.pass(time.Hour)
		if got := look(); len(got) == 1 {
			return
		}
	}
	t.Error("there was no digest on the next day")
}

// The hour is the wall clock's, also on days when the clocks change.
func TestDigestFollowsTheWallClock(t *testing.T) {
	t.Parallel()
	madrid, err := time.LoadLocation("Europe/Madrid")
	if err != nil {
		t.Fatal(err)
	}
	d := Digest{Hour: 8, Minute: 30}
	for now, want := range map[string]string{
		"2024-10-26T05:00:00Z": "2024-10-26T06:30:00Z", "2024-10-26T06:30:00Z": "2024-10-27T07:30:00Z",
		"2024-03-30T20:00:00Z": "2024-03-31T06:30:00Z",
		"2024-12-31T23:30:00Z": "2025-01-01T07:30:00Z",
	} {
		at, err := time.Parse(time.RFC3339, now)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.next(at, madrid).Format(time.RFC3339); got != want {
			t.Errorf("after %s the digest is due at %s, want %s", now, got, want)
		}
	}
}

// A guest's or a listing's name calls nobody in a chat and hides no address. E-mail is plain text.
func TestNamesAreNoMarkup(t *testing.T) {
	t.Parallel()
	listing, guest := "@channel [the desk](https://evil.example)", "@all jane@example.com .@all _@all @@all x-@all @_@all"
	p := store.StayState{ListingName: &listing, GuestName: &guest}
	p.Source, p.ReservationID = "default", "@here"
	const url = "https://keys.example.com"
	got := Subscription{Kind: KindSlack, GuestName: true}.line(p, "", url)
	for _, mark := range []string{"@channel", "@all", "@here,", "]("} {
		if strings.Contains(got, mark) {
			t.Errorf("%q has %s", got, mark)
		}
	}
	for _, want := range []string{"jane@example.com", url + "/reservations/default/@here"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
	if got := (Subscription{Kind: KindEmail}).line(p, "", url); !strings.Contains(got, listing) {
		t.Errorf("the e-mail says %q", got)
	}
}
