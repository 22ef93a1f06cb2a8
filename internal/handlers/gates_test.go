package handlers_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// gate gives a source gates.
func (a *app) gate(source string, gates ...pms.Gate) {
	s := a.sources[source]
	s.Policy.Gates = gates
	a.sources[source] = s
}

// gatesOf are a reservation's gates as REST shows them: "name=state by".
func (a *app) gatesOf(path string) []string {
	a.t.Helper()
	list := []string{}
	for _, g := range a.get(path).body["gates"].([]any) {
		gate := g.(map[string]any)
		text := gate["name"].(string) + "=" + gate["state"].(string)
		if by, ok := gate["by"].(string); ok {
			text += " " + by
		}
		list = append(list, text)
	}
	return list
}

func (a *app) wantGates(path string, want ...string) {
	a.t.Helper()
	if got := a.gatesOf(path); strings.Join(got, ", ") != strings.Join(want, ", ") {
		a.t.Errorf("gates %q, want %q", got, want)
	}
}

// The latest report of the PMS and of programs counts. A person's decision overrides both until a person withdraws it.
func TestWhoSetsGates(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey}, pms.Gate{Name: "checked_in", Holds: stay.HoldsLink})
	event := func(id, gates string) {
		t.Helper()
		body := strings.Replace(reservationBody, `"listing_id"`, `"gates":`+gates+`,"listing_id"`, 1)
		if r := a.post(hook{source: "default", id: id, body: body}); r.status != http.StatusAccepted {
			t.Fatal(r.rawBody)
		}
		a.apply()
	}
	put := func(name, body string) answered {
		t.Helper()
		r := a.call("PUT", onePath+"/gates/"+name, body)
		if r.status != http.StatusOK {
			t.Fatalf("%s: %d %s", body, r.status, r.rawBody)
		}
		return r
	}
	event("1", `null`)
	a.wantGates(onePath, "paid=unknown", "checked_in=unknown")
	event("2", `{"paid":"closed","of_no_source":"open"}`)
	a.wantGates(onePath, "paid=closed pms", "checked_in=unknown")
	if got := put("paid", `{"state":"open","evidence":"receipt 4711"}`).body; got["evidence"] != "receipt 4711" ||
		got["decided"] != false || got["holds"] != "key" || got["at"] == nil {
		t.Errorf("got %v", got)
	}
	a.wantGates(onePath, "paid=open admin", "checked_in=unknown")
	event("3", `{"checked_in":"open"}`) // what is absent stays
	a.wantGates(onePath, "paid=open admin", "checked_in=open pms")
	event("4", `{"paid":"closed"}`)
	a.wantGates(onePath, "paid=closed pms", "checked_in=open pms")
	put("paid", `{"state":"open","author":"Maria"}`)
	event("5", `{"paid":"closed"}`)
	put("paid", `{"state":"closed"}`)
	a.wantGates(onePath, "paid=open Maria (admin)", "checked_in=open pms")
	put("paid", `{"state":"unknown","author":"Peter"}`)
	a.wantGates(onePath, "paid=unknown Peter (admin)", "checked_in=open pms")
	put("paid", `{"state":null,"author":"Maria"}`)
	a.wantGates(onePath, "paid=closed admin", "checked_in=open pms")

	timeline := a.get(onePath + "/timeline").rawBody
	for _, want := range []string{
		"admin opened gate paid",
		"which has no effect: Maria (admin) decided that it is open",
		"Maria (admin) took back the decision on gate paid: it is closed", `"gates":{"paid":"closed"}`,
	} {
		if !strings.Contains(timeline, want) {
			t.Errorf("the timeline lacks %q: %s", want, timeline)
		}
	}
	for what, body := range map[string]string{"the timeline": timeline, "the audit log": a.get("/v1/audit").rawBody} {
		if strings.Contains(body, "4711") {
			t.Errorf("%s holds evidence, which may be about the guest", what)
		}
	}
}

func TestGateRefusals(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	for name, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"no such gate": {
			onePath + "/gates/signed", `{"state":"open"}`, 404,
			`source \"default\" has no gate \"signed\": it has paid`,
		},
		"no gates": {"/v1/reservations/open/R/gates/paid", `{"state":"open"}`, 404, "has no gates"},
		"no such reservation": {
			"/v1/reservations/default/R/gates/paid", `{"state":"open"}`, 404,
			"reservation not found",
		},
		"no such state":        {onePath + "/gates/paid", `{"state":"ajar"}`, 422, "state"},
		"no state":             {onePath + "/gates/paid", `{}`, 422, "state"},
		"a program takes back": {onePath + "/gates/paid", `{"state":null}`, 422, "author"},
		"another field":        {onePath + "/gates/paid", `{"state":"open","by":"x"}`, 422, "by"},
		"evidence that is a lot": {onePath + "/gates/paid", `{"state":"open","evidence":"` + strings.Repeat("x", 501) +
			`"}`, 422, "evidence"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if r := a.call("PUT", c.path, c.body); r.status != c.status || !strings.Contains(r.rawBody, c.says) {
				t.Errorf("%d %s, want %d and %q", r.status, r.rawBody, c.status, c.says)
			}
		})
	}
	for field, gates := range map[string]string{
		"data.gates": `["paid"]`, "data.gates.paid": `{"paid":true}`,
		"data.gates.Paid": `{"Paid":"open"}`,
	} {
		body := strings.Replace(reservationBody, `"listing_id"`, `"gates":`+gates+`,"listing_id"`, 1)
		if r := a.post(hook{source: "default", id: "gates-" + field, body: body}); r.status != 422 ||
			!strings.Contains(r.rawBody, `"`+field+`"`) {
			t.Errorf("%s: %d %s", gates, r.status, r.rawBody)
		}
	}
}

// A token with scope gates sets gates of its sources, and does nothing else: it reads nothing and can't sign in.
func TestGatesScope(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	a.gate("open", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	desk := token("terminal", "opens-gates-only", false, "default")
	desk.Only = admin.OnlyGates
	a.tokens = append(a.tokens, desk, token("reader", "reads-only-this", false))
	if r := a.as("opens-gates-only", "PUT", onePath+"/gates/paid", `{"state":"open"}`); r.status != 200 ||
		strings.Contains(r.rawBody, "jane") {
		t.Errorf("%d %s", r.status, r.rawBody)
	}
	a.wantGates(onePath, "paid=open terminal")
	for _, refused := range []struct {
		token, method, path string
		status              int
	}{
		{"opens-gates-only", "GET", onePath, 403},
		{"opens-gates-only", "POST", onePath + "/reconcile", 403},
		{"opens-gates-only", "PUT", "/v1/listings/default/2222222-2222", 403},
		{"opens-gates-only", "PUT", "/v1/reservations/open/R/gates/paid", 404},
		{"reads-only-this", "PUT", onePath + "/gates/paid", 403},
		{"nobody-knows-this", "PUT", onePath + "/gates/paid", 401},
	} {
		if r := a.as(refused.token, refused.method, refused.path, `{"state":"closed"}`); r.status != refused.status {
			t.Errorf("%s %s %s: %d, want %d", refused.token, refused.method, refused.path, r.status, refused.status)
		}
	}
	if r := a.visitor().signIn("opens-gates-only"); r.status != http.StatusForbidden {
		t.Errorf("it signs in: %d", r.status)
	}
	a.wantGates(onePath, "paid=open terminal")
}

// On the page a person decides, by the name that they signed in with, and can take the decision back.
func TestGatesOnThePage(t *testing.T) {
	t.Parallel()
	a := two(t)
	a.gate("default", pms.Gate{Name: "paid", Holds: stay.HoldsKey})
	a.tokens = append(a.tokens, token("reader", "reads-only-this", false))
	v := a.visitor()
	if r := v.signIn(adminToken); r.status != http.StatusOK {
		t.Fatal(r.status)
	}
	const path = "/reservations/default/3333122-433"
	if r := v.post(path+"/gates/paid", url.Values{
		"state":    {"open"},
		"evidence": {"cash"},
	}); r.status != http.StatusOK || !strings.Contains(r.body, "Let the PMS decide") ||
		!strings.Contains(r.body, "cash") {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.wantGates(onePath, "paid=open Maria (admin)")
	a.call("PUT", onePath+"/gates/paid", `{"state":"closed"}`) // a program
	a.wantGates(onePath, "paid=open Maria (admin)")
	if r := v.post(path+"/gates/paid", url.Values{"state": {""}}); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.body)
	}
	a.wantGates(onePath, "paid=closed admin")
	if r := v.post(path+"/gates/paid", url.Values{"state": {"ajar"}}); r.status != http.StatusUnprocessableEntity {
		t.Errorf("another state: %d", r.status)
	}
	reader := a.visitor()
	reader.signIn("reads-only-this")
	if r := reader.see(path); strings.Contains(r.body, `name="evidence"`) || !strings.Contains(r.body, "is closed") {
		t.Errorf("a reader sees %s", r.body)
	}
	if r := reader.post(path+"/gates/paid", url.Values{"state": {"open"}}); r.status != http.StatusForbidden {
		t.Errorf("a reader sets a gate: %d", r.status)
	}
}
