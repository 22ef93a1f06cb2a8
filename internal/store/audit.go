package store

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// AuditLog is who did what. Most entries are written in the transaction of what they are about ([QueueAudit]).
type AuditLog struct{ *db }

// Audit is one entry of the audit log: who did what, through which interface. Its texts never hold guest data.
type Audit struct {
	AuditID   int64          // ascending; given by the database
	At        time.Time      // when the action was done
	Token     string         // the name of the token
	Author    string         // who used it, as timelines show it
	Via       string         // AuditREST or AuditPage
	Action    string         // what was done, such as put_listing
	Source    *string        // nil: not about one source
	Subject   *string        // id of the reservation, listing or event; nil if there is none
	Reason    *string        // as the person or program gave it; nil for none
	Before    map[string]any // the old values of what changed; nil for nothing
	After     map[string]any // the new values of what is in Before
	RequestID *string        // of the HTTP request; nil outside of one
	Address   *string        // of the client
	// RequestKey identifies a request with an Idempotency-Key, see [KeptRequests.Claim]; nil for others, and in
	// lists.
	RequestKey []byte `db:"-"`
}

// The interfaces through which a change arrives.
const (
	AuditREST = "rest"
	AuditPage = "page"
)

// About returns the entry with its subject; empty texts mean none.
func (a Audit) About(source, subject, reason string) Audit {
	a.Source, a.Subject, a.Reason = unlessEmpty(source), unlessEmpty(subject), unlessEmpty(reason)
	return a
}

func unlessEmpty(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// QueueAudit writes an entry as part of a batch, so that it commits together with the change that it describes, or
// not at all.
func QueueAudit(b *pgx.Batch, a Audit) error {
	before, err := encodedOrNil(a.Before)
	if err != nil {
		return wrap(err, "encode an audit entry")
	}
	after, err := encodedOrNil(a.After)
	if err != nil {
		return wrap(err, "encode an audit entry")
	}
	b.Queue(`
		INSERT INTO audit (at, token, author, via, action, source, subject, reason, before, after, request_id, address,
			request_key)
		VALUES (@at, @token, @author, @via, @action, @source, @subject, @reason, @before::jsonb, @after::jsonb,
			@request_id, @address, @request_key)`,
		pgx.StrictNamedArgs{
			"at": a.At, "token": a.Token, "author": a.Author, "via": a.Via, "action": a.Action, "source": a.Source,
			"subject": a.Subject,
			"reason":  a.Reason, "before": before, "after": after, "request_id": a.RequestID, "address": a.Address,
			"request_key": a.RequestKey,
		})
	return nil
}

func encodedOrNil(m map[string]any) (*string, error) {
	if m == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(m)
	text := string(encoded)
	return &text, err
}

// writeAudit writes an entry in the transaction of a change that uses no batch.
func writeAudit(ctx context.Context, tx pgx.Tx, a Audit) error {
	var b pgx.Batch
	if err := QueueAudit(&b, a); err != nil {
		return err
	}
	return tx.SendBatch(ctx, &b).Close()
}

// Add writes the entry of an action that changes nothing in the database: an export, a test event.
func (s AuditLog) Add(ctx context.Context, a Audit) error {
	return wrap(s.inTx(ctx, func(tx pgx.Tx) error { return writeAudit(ctx, tx, a) }), "write the audit log")
}

// AuditFilter narrows the audit log; empty fields don't.
type AuditFilter struct {
	Source, Token, Action []string   // any of them; nil for all
	Subject               string     // exactly; "" for all
	Sources               []string   // the visible ones, without entries that are not about one source; nil for all
	From, To              *time.Time // included; nil: no limit
}

// List lists the audit log, newest first, from below the given id (0: the newest).
func (s AuditLog) List(ctx context.Context, f AuditFilter, below int64, limit int) ([]Audit, error) {
	var w where
	w.among("source", within(f.Source, f.Sources))
	w.among("token", f.Token)
	w.among("action", f.Action)
	w.equal("subject", f.Subject)
	if below > 0 {
		w.add("audit_id < %s", below)
	}
	if f.From != nil {
		w.add("at >= %s", *f.From)
	}
	if f.To != nil {
		w.add("at < %s", *f.To)
	}
	rows, _ := s.pool.Query(ctx, `
		SELECT audit_id, at, token, author, via, action, source, subject, reason, before, after, request_id, address
		FROM audit`+w.sql()+` ORDER BY audit_id DESC LIMIT `+w.arg(limit), w.planned()...)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Audit])
	return list, wrap(err, "list the audit log")
}

// OfRequest returns the entries of a request with an Idempotency-Key, in their order, see [Audit.RequestKey].
func (s AuditLog) OfRequest(ctx context.Context, key []byte) ([]Audit, error) {
	rows, _ := s.pool.Query(ctx, `
		SELECT audit_id, at, token, author, via, action, source, subject, reason, before, after, request_id, address
		FROM audit WHERE request_key = $1 AND at > now() - $2::interval ORDER BY audit_id`, key, RequestsKept)
	list, err := pgx.CollectRows(rows, pgx.RowToStructByName[Audit])
	return list, wrap(err, "read the audit log of a request")
}

// Prune removes up to limit entries older than before, and returns how many it removed.
func (s AuditLog) Prune(ctx context.Context, before time.Time, limit int) (int, error) {
	tag, err := s.pool.Exec(ctx, `
		DELETE FROM audit WHERE audit_id = ANY (ARRAY (SELECT audit_id FROM audit WHERE at < $1 ORDER BY at LIMIT $2
			FOR UPDATE SKIP LOCKED))`, before, limit)
	return int(tag.RowsAffected()), wrap(err, "prune the audit log")
}

// bySource splits an entry about several sources into one per source, so that readers of one source see their part.
func (a Audit) bySource(events []Event) []Audit {
	ids := map[string][]string{}
	var sources []string
	for _, e := range events {
		if _, seen := ids[e.Source]; !seen {
			sources = append(sources, e.Source)
		}
		ids[e.Source] = append(ids[e.Source], e.EventID.String())
	}
	entries := make([]Audit, len(sources))
	for i, source := range sources {
		of := ids[source]
		entries[i] = a
		entries[i].Source = &source
		entries[i].After = map[string]any{"events": len(of), "event_ids": strings.Join(of, " ")}
		if len(of) == 1 {
			entries[i].Subject = &of[0]
		}
	}
	return entries
}
