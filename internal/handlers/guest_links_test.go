package handlers_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/guest"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// guestsStub hands out what the app says.
type guestsStub struct{ *app }

func (g guestsStub) Links(_ context.Context, stays []guest.Stay) (map[stay.Ref]stay.GuestLink, error) {
	links := map[stay.Ref]stay.GuestLink{}
	for _, s := range stays {
		if g.linked && s.Status == "confirmed" {
			links[s.Ref] = stay.GuestLink{URL: "https://keys.example.com/k/" + url.PathEscape(s.ReservationID)}
		}
	}
	return links, nil
}

func (g guestsStub) AppSession(context.Context, stay.Ref) (guest.Session, error) {
	return guest.Session{Token: "seam_cst1x", ExpiresAt: time.Date(2030, 11, 2, 0, 0, 0, 0, time.UTC), IdentityID: "i"},
		g.sessionErr
}

func (g guestsStub) BackupCode(context.Context, stay.Ref) (guest.Code, error) {
	return guest.Code{Digits: "846201", OpensAt: time.Unix(0, 0), OpensTo: time.Unix(86400, 0)}, nil
}

func (g guestsStub) Renew(ctx context.Context, _ guest.Stay, audit store.Audit) error {
	audit.At = time.Now()
	return g.store.Audit.Add(ctx, audit)
}

func TestGuestLinkOfReservations(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.linked = true
	for _, path := range []string{onePath, "/v1/reservations"} {
		r := a.get(path)
		one := r.body
		if items, is := r.body["items"].([]any); is {
			one = items[len(items)-1].(map[string]any)
		}
		link, _ := one["guest_link"].(map[string]any)
		if link == nil || !strings.HasPrefix(link["url"].(string), "https://keys.example.com/k/") ||
			link["opened_at"] != nil || link["openings"] != 0.0 {
			t.Errorf("%s: %v", path, one["guest_link"])
		}
	}
}

func TestAppSession(t *testing.T) {
	t.Parallel()
	reason := "listing_unknown"
	for name, c := range map[string]struct {
		err    error
		status int
		text   string
	}{
		"ready": {
			nil, 200,
			`"client_session_token":"seam_cst1x","expires_at":"2030-11-02T00:00:00.000Z","user_identity_id":"i"`,
		},
		"not ready": {
			&guest.NotReadyError{Page: guest.Page{Readiness: guest.NoRoom, Status: "waiting", Reason: &reason}},
			409, "waiting / listing_unknown",
		},
		"gate": {&guest.NotReadyError{Page: guest.Page{
			Readiness: guest.Withheld, Status: "issued",
			Gates: []string{"paid"},
		}}, 409, "gates are not open: paid"},
		"shared": {
			&guest.NotReadyError{Page: guest.Page{Readiness: guest.Ask, Status: "issued", Shared: true}}, 409,
			"reissue it",
		},
		"over":        {guest.ErrGone, 409, "over or cancelled"},
		"no links":    {guest.ErrUnknown, 409, "guest_links"},
		"Seam":        {guest.ErrUnavailable, 503, "try again"},
		"no such one": {store.ErrNotFound, 404, "reservation not found"},
		"the inside":  {errors.New("secret inside"), 503, "the database does not answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := two(t)
			a.sessionErr = c.err
			r := a.call("POST", onePath+"/app-session", "")
			if r.status != c.status || !strings.Contains(r.rawBody, c.text) ||
				strings.Contains(r.rawBody, "secret inside") {
				t.Errorf("got %d %s", r.status, r.rawBody)
			}
			if c.status == 503 && c.err == guest.ErrUnavailable && r.header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		})
	}
}

// A token of scope guest allows two operations for its sources, and no reads.
func TestScopeGuest(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.linked = true
	app := token("app", "the-app's-backend", false, "default")
	app.Only = "guest"
	reads := token("reader", "reads-only", false)
	a.tokens = append(a.tokens, app, reads)
	for _, c := range []struct {
		secret, method, path string
		status               int
	}{
		{"the-app's-backend", "POST", onePath + "/app-session", 200},
		{"the-app's-backend", "POST", onePath + "/backup-code", 200},
		{"reads-only", "POST", onePath + "/backup-code", 403},
		{"the-app's-backend", "POST", onePath + "/guest-link/renew", 200},
		{"the-app's-backend", "POST", "/v1/reservations/a%20b%2Fc/3333122-433/app-session", 404},
		{"the-app's-backend", "GET", onePath, 403},
		{"the-app's-backend", "GET", "/v1/reservations", 403},
		{"the-app's-backend", "POST", onePath + "/revoke", 403},
		{"the-app's-backend", "PUT", "/v1/listings/default/2222222-2222", 403},
		{"reads-only", "POST", onePath + "/app-session", 403},
		{"reads-only", "POST", onePath + "/guest-link/renew", 403},
		{"unknown", "POST", onePath + "/app-session", 401},
	} {
		r := a.as(c.secret, c.method, c.path, "")
		if r.status != c.status {
			t.Errorf("%s %s by %s: %d, want %d: %s", c.method, c.path, c.secret, r.status, c.status, r.rawBody)
		}
		if strings.Contains(r.rawBody, "jane") || strings.Contains(r.rawBody, "check_in") {
			t.Errorf("%s %s shows the reservation: %s", c.method, c.path, r.rawBody)
		}
	}
	v := a.visitor()
	if page := v.signIn("the-app's-backend"); page.status != http.StatusForbidden {
		t.Errorf("signing in to the page: %d", page.status)
	}
}

func TestRenewWithoutALink(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.call("POST", onePath+"/guest-link/renew", "").mustBeProblem(t, http.StatusConflict)
}

// On the page a person can copy the guest's link, and renew it after a confirmation. A read-only token can only copy.
func TestGuestLinkOnThePage(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.tokens = append(a.tokens, token("reader", "reads-only-this", false))
	const path = "/reservations/default/3333122-433"
	v := a.visitor()
	v.signIn(adminToken)
	if page := v.see(path); strings.Contains(page.body, "renew-link") {
		t.Error("a reservation without a link offers to renew it")
	}
	if page := v.post(path+"/renew-link", url.Values{}); page.status != http.StatusConflict ||
		!strings.Contains(page.body, "has no link") {
		t.Errorf("renewing what isn't there: %d\n%s", page.status, page.body)
	}
	a.linked = true
	if page := v.see(path); !strings.Contains(page.body, `data-copy="guest-link"`) ||
		!strings.Contains(page.body, path+"/renew-link") {
		t.Errorf("the page lacks the buttons:\n%s", page.body)
	}
	if page := v.see(path + "/renew-link"); page.status != http.StatusOK ||
		!strings.Contains(page.body, "The old link stops working") || strings.Contains(page.body, "required") {
		t.Errorf("the question: %d\n%s", page.status, page.body)
	}
	for reason, want := range map[string]int{strings.Repeat("ж", 500): http.StatusOK, strings.Repeat("ж", 501): 422} {
		page := v.post(path+"/renew-link", url.Values{"reason": {reason}})
		r := a.call("POST", onePath+"/guest-link/renew", `{"reason":"`+reason+`"}`)
		if page.status != want || r.status != want {
			t.Errorf("a reason of %d letters: the page answers %d, REST %d", len(reason)/2, page.status, r.status)
		}
	}
	if page := v.post(path+"/renew-link", url.Values{"reason": {"it was forwarded"}}); page.status != http.StatusOK ||
		page.path != path {
		t.Errorf("renewing: %d at %s", page.status, page.path)
	}
	entry := a.get("/v1/audit?action=renew_guest_link").body["items"].([]any)[0].(map[string]any)
	if entry["reason"] != "it was forwarded" || entry["author"] != "Maria (admin)" || entry["via"] != "page" {
		t.Errorf("the audit log has %v", entry)
	}
	reader := a.visitor()
	reader.signIn("reads-only-this")
	if page := reader.see(path); !strings.Contains(page.body, "data-copy") ||
		strings.Contains(page.body, "/renew-link") {
		t.Errorf("a reader sees\n%s", page.body)
	}
	if page := reader.post(path+"/renew-link", url.Values{}); page.status != http.StatusForbidden {
		t.Errorf("a reader renews: %d", page.status)
	}
}
