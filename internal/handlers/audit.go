package handlers

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Actions of the audit log beside the ones of [intake.ActionKind].
const (
	auditSignIn     = "sign_in"
	auditSignOut    = "sign_out"
	auditReplay     = "replay"
	auditErase      = "erase_guest"
	auditTestSource = "test_source"
	auditPutListing = "put_listing"

	auditEnableSubscription  = "enable_subscription"
	auditDisableSubscription = "disable_subscription"
	auditTestSubscription    = "test_subscription"
	auditResend              = "resend_delivery"
)

// audit begins the entry of what the actor does: by which token and door. person is who says to be using the token, if the
// request names somebody. Every changing request writes one, in its own transaction.
func (a actor) audit(action, person string) store.Audit {
	return store.Audit{
		Token: a.Name, Author: a.author(person), Via: a.Via, Action: action, RequestID: orNil(a.RequestID), Address: orNil(a.Address),
	}
}

// arrival is how a request came to be an actor's, for the audit log.
func (s *server) arrival(w http.ResponseWriter, r *http.Request, token Token, person, via string) actor {
	address := ""
	if from := s.sender(r); from.IsValid() {
		address = from.String()
	}
	return actor{Token: token, Person: person, Via: via, RequestID: w.Header().Get("X-Request-Id"), Address: address}
}

func orNil(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// AuditEntry is one entry of the audit log.
type AuditEntry struct {
	At        string         `json:"at" format:"date-time"`
	Token     string         `json:"token" example:"front-desk" doc:"The name of the token; admin for those of STAYKEY_ADMIN_TOKEN."`
	Author    string         `json:"author" example:"Maria (front-desk)" doc:"Who used it, as the timeline shows it."`
	Via       string         `json:"via" enum:"rest,page"`
	Action    string         `json:"action" example:"put_listing" doc:"reconcile, revoke, reissue, hold, release, window, put_listing, replay, test_source, erase_guest, sign_in, sign_out, ..."`
	Source    *string        `json:"source" doc:"Null: it is about no single source."`
	Subject   *string        `json:"subject" example:"2222222-2222" doc:"Id of the reservation, listing or event."`
	Reason    *string        `json:"reason"`
	Before    map[string]any `json:"before" nullable:"true" doc:"What was replaced, as far as it changed."`
	After     map[string]any `json:"after" nullable:"true"`
	RequestID *string        `json:"request_id" doc:"As in X-Request-Id and the log."`
	Address   *string        `json:"address" doc:"Of the client."`
}

func showAudit(a store.Audit) AuditEntry {
	return AuditEntry{
		At: stamp(a.At), Token: a.Token, Author: a.Author, Via: a.Via, Action: a.Action, Source: a.Source, Subject: a.Subject, Reason: a.Reason,
		Before: a.Before, After: a.After, RequestID: a.RequestID, Address: a.Address,
	}
}

// AuditQuery are the filters of the audit log.
type AuditQuery struct {
	Paging
	Source  string `query:"source"`
	Token   string `query:"token" doc:"The name of a token."`
	Action  string `query:"action"`
	Subject string `query:"subject" doc:"Id of a reservation, listing or event."`
	From    string `query:"from" doc:"An instant or a day of UTC, inclusive."`
	To      string `query:"to" doc:"An instant or a day of UTC, exclusive."`
}

func (s *server) auditOperation(api huma.API) {
	o := operation("list-audit", http.MethodGet, "/v1/audit", "Audit", "List who changed what, newest first")
	o.Description = "One entry for each changing request, sign-in, sign-out, export and erasure, committed together with the change. A token of single sources sees what is about them. Entries are kept as long as reservations (STAYKEY_RETAIN_RESERVATIONS), at least 400 days."
	huma.Register(api, o, func(ctx context.Context, in *AuditQuery) (*Output[List[AuditEntry]], error) {
		rows, p := s.audits(ctx, *in)
		if p != nil {
			return nil, p
		}
		return &Output[List[AuditEntry]]{paged(rows, in.Limit, showAudit, func(a store.Audit) *string { return s.sealCursor("audit", a.AuditID) })}, nil
	})
}

// audits reads one entry more than the query's limit, as far as the actor may see them.
func (s *server) audits(ctx context.Context, in AuditQuery) ([]store.Audit, *Problem) {
	f := store.AuditFilter{Source: in.Source, Token: in.Token, Action: in.Action, Subject: in.Subject, Sources: actorOf(ctx).Sources}
	var below int64
	p := s.openCursor("audit", in.Cursor, &below)
	if p == nil {
		f.From, p = instant("query.from", in.From)
	}
	if p == nil {
		f.To, p = instant("query.to", in.To)
	}
	if p != nil {
		return nil, p
	}
	rows, err := s.Store.Audits(ctx, f, below, in.Limit+1)
	if err != nil {
		return nil, s.fromStore(err, "")
	}
	return rows, nil
}

// auditView is the page of the audit log.
type auditView struct {
	AuditQuery
	Rows        []auditRow
	Next, First string
	Sources     []string
}

type auditRow struct{ store.Audit }

// Link is the page of what the entry is about, "" where there is none.
func (r auditRow) Link() string {
	if r.Subject == nil || r.Source == nil {
		return ""
	}
	switch r.Action {
	case auditPutListing:
		return escapedPath([]string{"listings", *r.Source, *r.Subject})
	case auditReplay:
		return "/events/" + *r.Subject
	case auditResend:
		return ""
	}
	return escapedPath([]string{"reservations", *r.Source, *r.Subject})
}

// Changes are what changed, a line each.
func (r auditRow) Changes() []string {
	return changeLines(r.Before, r.After)
}

func (s *server) auditPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := auditView{AuditQuery: AuditQuery{
		Paging: Paging{Limit: pageRows, Cursor: q.Get("cursor")}, Source: q.Get("source"), Token: strings.TrimSpace(q.Get("token")),
		Action: strings.TrimSpace(q.Get("action")), Subject: strings.TrimSpace(q.Get("subject")), From: q.Get("from"), To: q.Get("to"),
	}, Sources: s.visibleSources(r.Context())}
	rows, p := s.audits(r.Context(), v.AuditQuery)
	if p != nil {
		s.refuse(w, r, p)
		return
	}
	if len(rows) > pageRows {
		rows = rows[:pageRows]
		v.Next = nextLink("/audit", q, s.sealCursor("audit", rows[pageRows-1].AuditID))
	}
	if v.Cursor != "" {
		v.First = nextLink("/audit", q, nil)
	}
	for _, row := range rows {
		v.Rows = append(v.Rows, auditRow{row})
	}
	s.render(w, r, http.StatusOK, "audit", page{Title: "Audit", Active: "audit", Body: v})
}

// noteWrongSignIn records an attempt to sign in with a wrong token: it changes nothing, so that it is in the log and the metrics.
func (s *server) noteWrongSignIn(r *http.Request) {
	s.log.Warn("sign-in refused: wrong token", "address", s.sender(r).String())
}

// auditSession is the entry of a sign-in or sign-out.
func (s *server) auditSession(a actor, action string, now time.Time) store.Audit {
	entry := a.audit(action, "")
	entry.At = now
	return entry
}

// plainText is a text that somebody wrote for others to read: no control or direction characters, no spaces around it.
func plainText(s string) string {
	return strings.TrimSpace(store.Storable(pms.Plain(s)))
}
