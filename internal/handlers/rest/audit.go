package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
)

// AuditEntry is one entry of the audit log.
type AuditEntry struct {
	At        string         `json:"at" format:"date-time"`
	Token     string         `json:"token" example:"front-desk" doc:"The name of the token; admin for those of STAYKEY_ADMIN_TOKEN."`
	Author    string         `json:"author" example:"Maria (front-desk)" doc:"Author, as shown in the timeline."`
	Via       string         `json:"via" enum:"rest,page"`
	Action    string         `json:"action" example:"put_listing" doc:"reconcile, revoke, reissue, hold, release, window, set_gate, put_listing, replay, test_source, erase_guest, sign_in, sign_out, ..."`
	Source    *string        `json:"source" doc:"Null if the entry concerns no single source."`
	Subject   *string        `json:"subject" example:"2222222-2222" doc:"Id of the reservation, listing or event."`
	Reason    *string        `json:"reason"`
	Before    map[string]any `json:"before" nullable:"true" doc:"Old values of the changed fields."`
	After     map[string]any `json:"after" nullable:"true"`
	RequestID *string        `json:"request_id" doc:"The id in X-Request-Id and in the log."`
	Address   *string        `json:"address" doc:"Address of the client."`
}

func showAudit(a admin.AuditEntry) AuditEntry {
	return AuditEntry{
		At: stamp(a.At), Token: a.Token, Author: a.Author, Via: a.Via, Action: a.Action, Source: a.Source,
		Subject: a.Subject, Reason: a.Reason,
		Before: a.Before, After: a.After, RequestID: a.RequestID, Address: a.Address,
	}
}

func (s *API) auditOperation(api huma.API) {
	o := operation("list-audit", http.MethodGet, "/v1/audit", "Audit", "List audit entries, newest first")
	o.Description = "One entry per changing request, sign-in, sign-out, export and erasure, committed together with " +
		"the change. A token limited to some sources sees their entries. Entries are kept as long as reservations " +
		"(STAYKEY_RETAIN_RESERVATIONS), at least 400 days."
	huma.Register(api, o, func(ctx context.Context, in *admin.AuditQuery) (*Output[List[AuditEntry]], error) {
		found, err := s.Admin.Audit.List(ctx, *in)
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return listOf(found, showAudit), nil
	})
}
