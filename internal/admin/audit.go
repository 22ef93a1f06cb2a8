package admin

import (
	"context"

	"github.com/staykey/staykey/internal/store"
)

// AuditLog reads who did what.
type AuditLog struct{ *core }

// Actions of the audit log besides those of [ActionKind].
const (
	auditSignIn        = "sign_in"
	auditSignOut       = "sign_out"
	auditReplay        = "replay"
	auditErase         = "erase_guest"
	auditTestSource    = "test_source"
	auditPutListing    = "put_listing"
	auditDeleteListing = "delete_listing"
	auditImport        = "import"
	auditExport        = "export_reservations"

	auditEnableSubscription  = "enable_subscription"
	auditDisableSubscription = "disable_subscription"
	auditTestSubscription    = "test_subscription"
	auditResend              = "resend_delivery"
)

// AuditQuery are the filters of the audit log.
type AuditQuery struct {
	Paging
	Source  []string `query:"source" nullable:"false" doc:"One source, or several separated by commas."`
	Token   []string `query:"token" nullable:"false" doc:"The name of a token, or several separated by commas."`
	Action  []string `query:"action" nullable:"false" doc:"One action, or several separated by commas."`
	Subject string   `query:"subject" doc:"Id of a reservation, listing or event."`
	From    string   `query:"from" doc:"Instant or UTC day, inclusive."`
	To      string   `query:"to" doc:"Instant or UTC day, exclusive."`
}

// List lists who changed what, newest first. A token limited to some sources sees what is about them.
func (s AuditLog) List(ctx context.Context, q AuditQuery) (Page[AuditEntry], error) {
	f := store.AuditFilter{
		Source: q.Source, Token: q.Token, Action: q.Action, Subject: q.Subject,
		Sources: ActorOf(ctx).Sources,
	}
	p := q.Paging
	q.Paging = Paging{}
	list := listName("audit", q)
	var below int64
	err := checkEnums(q)
	if err == nil {
		err = s.openCursor(list, p.Cursor, &below)
	}
	if err == nil {
		f.From, err = ParseInstant("query.from", q.From)
	}
	if err == nil {
		f.To, err = ParseInstant("query.to", q.To)
	}
	if err != nil {
		return Page[AuditEntry]{}, err
	}
	rows, err := s.store.Audit.List(ctx, f, below, p.Limit+1)
	if err != nil {
		return Page[AuditEntry]{}, err
	}
	return page(s.core, list, rows, p.Limit, func(a AuditEntry) any { return a.AuditID }), nil
}

// AuditSubject is what the subject of an audit entry is.
type AuditSubject int

// Subjects of audit entries.
const (
	SubjectReservation AuditSubject = iota
	SubjectListing
	SubjectEvent
	SubjectDelivery
)

// SubjectOf tells what the subject of an entry is.
func SubjectOf(a AuditEntry) AuditSubject {
	switch a.Action {
	case auditPutListing, auditDeleteListing:
		return SubjectListing
	case auditReplay:
		return SubjectEvent
	case auditResend:
		return SubjectDelivery
	}
	return SubjectReservation
}

// record writes an entry for something that changes nothing in the database.
func (s *core) record(ctx context.Context, entry store.Audit) error {
	entry.At = s.now().UTC()
	return s.store.Audit.Add(ctx, entry)
}
