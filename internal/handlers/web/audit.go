package web

import (
	"net/http"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
)

// auditPages show who did what.
type auditPages struct{ *core }

// auditView is the page of the audit log.
type auditView struct {
	admin.AuditQuery
	Filtered    bool // a filter is set
	Rows        []auditRow
	Next, First string
	Sources     []string
}

type auditRow struct {
	admin.AuditEntry
	in *lang.Locale
}

// Link is the page of the entry's subject, "" if there is none.
func (r auditRow) Link() string {
	if r.Subject == nil || r.Source == nil {
		return ""
	}
	switch admin.SubjectOf(r.AuditEntry) {
	case admin.SubjectListing:
		return escapedPath([]string{"listings", *r.Source, *r.Subject})
	case admin.SubjectEvent:
		return "/events/" + *r.Subject
	case admin.SubjectDelivery:
		return ""
	}
	return escapedPath([]string{"reservations", *r.Source, *r.Subject})
}

// Changes lists the changes, one per line.
func (r auditRow) Changes() []string {
	return changeLines(r.in, r.Before, r.After)
}

func (s auditPages) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	v := auditView{
		AuditQuery: admin.AuditQuery{Paging: paging(q)},
		Sources:    s.Admin.Sources.Visible(r.Context()), Filtered: isFiltered(q),
	}
	admin.ReadFilters(q, &v.AuditQuery)
	found, err := s.Admin.Audit.List(r.Context(), v.AuditQuery)
	if err != nil {
		s.refuse(w, r, s.problemOf(r, err))
		return
	}
	in := localeOf(r)
	v.First, v.Next = pageLinks("/audit", q, found.Next)
	for _, row := range found.Items {
		v.Rows = append(v.Rows, auditRow{row, in})
	}
	s.render(w, r, http.StatusOK, "audit", page{Title: in.T("Audit"), Active: "audit", Body: v})
}
