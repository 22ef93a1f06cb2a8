package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/pms"
)

// A source's policy: times, zone, grace, guests, identity, gates and listings, and what the PMS's statuses mean.

func (r sourceReader) policy(p *pms.Policy) {
	p.ACSSystemID = r.text("acs_system_id")
	p.TimeZone = r.zone("time_zone")
	p.CheckInTime = r.clock("check_in_time", p.CheckInTime)
	p.CheckOutTime = r.clock("check_out_time", p.CheckOutTime)

	if grace, ok := r.inner("grace"); ok {
		p.GraceBefore, p.GraceAfter = grace.duration("before", 0), grace.duration("after", 0)
		grace.done()
	}

	if p.Drift = pms.Drift(r.text("drift")); p.Drift != "" && !p.Drift.Valid() {
		r.wrong("drift", "%q must be repair or report", p.Drift)
	}
	p.KeepAfter = r.duration("keep_after", p.KeepAfter)
	p.Horizon = r.duration("horizon", 0)
	p.AccessSystems, p.AccessGroups = r.ids("access_systems"), r.ids("access_groups")
	r.gates(p)

	listings, ok := r.inner("listings")
	if !ok {
		return
	}

	p.Listings = map[string]pms.ListingPolicy{}
	for _, key := range listings.keys {
		id := key.GetToken().Value
		l, ok := listings.inner(id)
		if !ok {
			continue
		}
		if err := pms.CheckID(id); err != nil {
			listings.wrong(id, "%v", err)
		}
		p.Listings[id] = l.listingPolicy()
	}
}

// listingPolicy reads what is configured for one listing.
func (m mapping) listingPolicy() pms.ListingPolicy {
	p := pms.ListingPolicy{
		TimeZone: m.zone("time_zone"), CheckInTime: m.clock("check_in_time", ""),
		CheckOutTime: m.clock("check_out_time", ""),
	}
	if grace, ok := m.inner("grace"); ok {
		for field, to := range map[string]**time.Duration{"before": &p.GraceBefore, "after": &p.GraceAfter} {
			if grace.has(field) {
				d := grace.duration(field, 0)
				*to = &d
			}
		}
		grace.done()
	}
	m.done()
	return p
}

// statuses reads which statuses hold a key and which revoke it; each list that is specified replaces the default one.
func (r sourceReader) statuses(statuses pms.Statuses) {
	m, ok := r.inner("statuses")
	if !ok {
		return
	}
	meaningOf := map[string]string{}
	for _, field := range []string{"hold", "revoke"} {
		means := map[string]string{"hold": pms.Confirmed, "revoke": pms.Cancelled}[field]
		classes, nodes := m.list(field)
		if classes == nil && !m.has(field) {
			continue
		}
		for class, is := range statuses {
			if is == means {
				delete(statuses, class)
			}
		}

		for i, class := range classes {
			problem := statusProblem(class, means)
			if problem == "" && meaningOf[class] != "" {
				problem = fmt.Sprintf("%q can't both hold a key and revoke it", class)
			}
			if problem != "" {
				m.fail(nodes[i], fmt.Sprintf("%s[%d]", m.name(field), i), "%s", problem)
			}
			meaningOf[class] = means
		}
	}
	for class, means := range meaningOf {
		statuses[class] = means
	}
	m.done()
}

// statusProblem is why statuses of a class can't have that meaning; "" if they can.
func statusProblem(class, means string) string {
	switch {
	case !slices.Contains(pms.StatusClasses, class):
		return fmt.Sprintf("%q must be one of %s", class, strings.Join(pms.StatusClasses, ", "))
	case class == "other":
		return "an unknown status neither creates nor removes a key"
	case class == "block" && means == pms.Confirmed:
		return "a blocked part of the calendar has no guest to create a key for"
	default:
		return ""
	}
}
