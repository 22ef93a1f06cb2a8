package provisioner_test

import (
	"context"
	"testing"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/provisioner"
	"github.com/staykey/staykey/internal/seam/simulator"
	"github.com/staykey/staykey/internal/store"
)

// kept is an event as stored in the database.
type kept struct {
	id    uuid.UUID
	stage string
}

// keep stores an event without a reservation but with content from a PMS: settled, waiting for documents, or queued.
func (r *rig) keep(stage, body, request, documents string) kept {
	r.t.Helper()
	k := kept{uuid.New(), stage}
	ctx, pool := context.Background(), r.store.Pool()
	var seq int64
	err := pool.QueryRow(ctx, `
		INSERT INTO events (event_id, seq, source, type, received_at, body, request)
			VALUES ($1, nextval('event_order'), 'pms', 'message', now(), $2, nullif($3, '')::jsonb) RETURNING seq`,
		k.id, []byte(body), request).Scan(&seq)
	if err != nil {
		r.t.Fatal(err)
	}
	for at, insert := range map[string]string{
		store.EventSettled:  `INSERT INTO event_results (seq, event_id, source, type, status, received_at) VALUES ($2, $1, 'pms', 'message', 'ignored', now())`,
		store.EventQueued:   `INSERT INTO event_queue (seq, event_id, source, type, urgent) VALUES ($2, $1, 'pms', 'message', false)`,
		store.EventFetching: `INSERT INTO event_fetches (event_id, seq, source, wants, created_at) VALUES ($1, $2, 'pms', '[]', now())`,
	} {
		if at == stage {
			if _, err := pool.Exec(ctx, insert, k.id, seq); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	if documents != "" {
		if _, err := pool.Exec(ctx,
			`INSERT INTO event_fetches (event_id, seq, source, wants, documents, created_at) VALUES ($1, $2, 'pms', '[]', $3, now())`, k.id, seq, documents); err != nil {
			r.t.Fatal(err)
		}
	}
	return k
}

// keptOf reports whether any of the event's content is still there, and the event's status.
func (r *rig) keptOf(k kept) (content bool, status, reason string) {
	r.t.Helper()
	err := r.store.Pool().QueryRow(context.Background(), `
		SELECT e.body IS NOT NULL OR e.request IS NOT NULL OR f.documents IS NOT NULL, coalesce(t.status, 'waiting'),
			coalesce(t.reason, '')
		FROM events e LEFT JOIN event_results t USING (event_id) LEFT JOIN event_fetches f USING (event_id)
			WHERE e.event_id = $1`, k.id).Scan(&content, &status, &reason)
	if err != nil {
		r.t.Fatal(err)
	}
	return content, status, reason
}

// Everything that a PMS has sent about a guest is removed, in every encoding and at every stage; what it has sent
// about guests with longer addresses is kept.
func TestEraseGuestInEveryEncoding(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	of := func(address, escaped, form string) map[string]kept {
		return map[string]kept{
			"JSON": r.keep(store.EventSettled, `{"guest_email":"`+address+`","guest_name":"Jös"}`, "",
				""),
			"JSON with escapes":  r.keep(store.EventSettled, `{"guest_email":"`+escaped+`"}`, "", ""),
			"form":               r.keep(store.EventSettled, "id=7&guest="+form, `{"kind":"form"}`, ""),
			"query":              r.keep(store.EventSettled, "", `{"kind":"query","query":{"mail":"`+address+`"}}`, ""),
			"waits for an apply": r.keep(store.EventFetching, `{"guest_email":"`+address+`"}`, "", ""),
		}
	}
	hers := of("JÖS@erase.example", `j\u00f6s\u0040erase.example`, "j%C3%B6s%40erase.example")
	others := map[string]map[string]kept{
		"a longer local part": of("annjös@erase.example", `annj\u00f6s\u0040erase.example`,
			"annj%C3%B6s%40erase.example"),
		"a longer domain": of("jös@erase.example.org", `j\u00f6s\u0040erase.example.org`,
			"j%C3%B6s%40erase.example.org"),
	}
	e, err := r.prov.EraseGuest(context.Background(), "jös@erase.example", store.Audit{
		Author: "Maria", Token: "desk",
		Action: "erase_guest",
	})
	if err != nil || !e.Found || e.Bodies != 4 || e.Waiting != 1 {
		t.Errorf("erased: %+v, %v", e, err)
	}
	for name, k := range hers {
		if content, status, reason := r.keptOf(k); content || status == "waiting" ||
			(k.stage == store.EventFetching && (status != "rejected" || reason != store.ReasonErased)) {
			t.Errorf("%s: content kept %t, %s %s", name, content, status, reason)
		}
	}
	for whose, events := range others {
		for name, k := range events {
			if content, _, _ := r.keptOf(k); !content {
				t.Errorf("%s, %s: removed", whose, name)
			}
		}
	}
	entries, err := r.store.Audit.List(context.Background(), store.AuditFilter{Action: []string{"erase_guest"}}, 0, 10)
	if err != nil || len(entries) != 1 || entries[0].Token != "desk" || entries[0].After["bodies"] != 4.0 ||
		entries[0].After["waiting_events"] != 1.0 {
		t.Errorf("the audit log: %+v, %v", entries, err)
	}
}

// Nothing is erased while an event about the guest is being applied, with documents of the PMS or without.
func TestEraseGuestWaitsForTheInbox(t *testing.T) {
	t.Parallel()
	for name, documents := range map[string]string{
		"in its body":      "",
		"in its documents": `{"guest":{"mail":"jane@example.com"}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, fast(), simulator.Options{})
			body := `{"guest":"jane@example.com"}`
			if documents != "" {
				body = `{"id":7}`
			}
			k := r.keep(store.EventQueued, body, "", documents)
			settled := r.keep(store.EventSettled, `{"guest":"jane@example.com"}`, "", "")
			e, err := r.prov.EraseGuest(context.Background(), "jane@example.com",
				store.Audit{Author: "Maria", Action: "erase_guest"})
			if err != nil || e.Unsettled != 1 {
				t.Errorf("%+v, %v", e, err)
			}
			for _, one := range []kept{k, settled} {
				if content, _, _ := r.keptOf(one); !content {
					t.Error("something was erased")
				}
			}
		})
	}
}

func TestEraseNobody(t *testing.T) {
	t.Parallel()
	r := newRig(t, fast(), simulator.Options{})
	k := r.keep(store.EventSettled, `{"guest":"jane@example.com"}`, "", "")
	for _, part := range []string{
		"@example.com", "@b.", "ane@", "jane@example.com, joe@example.com",
		"Jane <jane@example.com>",
	} {
		//nolint:errorlint // it is not wrapped
		if _, err := r.prov.EraseGuest(context.Background(), part, store.Audit{}); err != provisioner.ErrAddress {
			t.Errorf("%q: %v", part, err)
		}
	}
	if e, err := r.prov.EraseGuest(context.Background(), "nobody@example.com",
		store.Audit{Author: "Maria", Action: "erase_guest"}); err != nil || e.Found {
		t.Errorf("an unknown address: %+v, %v", e, err)
	}
	if content, _, _ := r.keptOf(k); !content {
		t.Error("another guest's body was removed")
	}
}
