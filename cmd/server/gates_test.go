package main

import (
	"testing"

	"github.com/staykey/staykey/internal/store/storetest"
)

// A key waits for its gate until a person opens it, is ready then, and doctor reports a gate that nothing sets.
func TestGatesFromTheCommandLine(t *testing.T) {
	t.Parallel()
	receiver := newListener(t)
	_, env := simulated(t, storetest.DSN(t))
	p := launch(t, append(env, receiver.config(t, `sources:
  - name: default
    verify: {method: standard-webhooks, secrets: ["${STAYKEY_WEBHOOK_SECRET}"]}
    gates: [{name: paid, holds: key}]
`)))
	p.deliver("default", "listing.created", seedListing())
	p.deliver("default", "reservation.created", seedReservation())
	p.until("3333122-433", "waiting")
	out, _, _ := p.asks("doctor")
	mustSay(t, "doctor", out, "nothing has set gate paid of any reservation", "app")
	out, problems, status := p.asks("gate", "default", "3333122-433", "paid", "open", "--author", "Maria",
		"--evidence", "card terminal")
	if status != 0 {
		t.Fatalf("gate: %d %s", status, problems)
	}
	mustSay(t, "gate", out, "gate paid is open, by Maria (admin)")
	p.until("3333122-433", "issued")
	<-receiver.arrived
	if got := receiver.messages(); got[0].Type != "mobile_key.ready" {
		t.Errorf("heard first: %+v", got[0])
	}
	out, _, _ = p.asks("reservation", "default", "3333122-433")
	mustSay(t, "reservation", out, "gate paid", "open, by Maria (admin)", "Maria (admin) opened gate paid")
	if _, problems, status = p.asks("gate", "default", "3333122-433", "signed", "open"); status == 0 {
		t.Error("a gate that the source does not have was set")
	}
	mustSay(t, "another gate", problems, `has no gate "signed": it has paid`)
}
