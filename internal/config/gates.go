package config

import (
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// gates reads what must be open before a source's keys are created or handed out.
func (r sourceReader) gates(p *pms.Policy) {
	names := map[string]string{}
	for _, entry := range r.mappings("gates") {
		g := pms.Gate{Name: entry.text("name"), Holds: entry.text("holds"), Revoke: entry.flag("revoke")}
		switch err := pms.CheckGateName(g.Name); {
		case g.Name == "" && !entry.has("name"):
			entry.wrong("name", "is required, such as paid")
		case err != nil:
			entry.wrong("name", "%q %v", g.Name, err)
		default:
			entry.once(names, "name", g.Name)
		}
		if g.Holds != stay.HoldsKey && g.Holds != stay.HoldsLink {
			entry.wrong("holds", "%q must be key (no key is created before the gate is open) or link (the key is created, but not handed out)", g.Holds)
		}
		entry.done()
		p.Gates = append(p.Gates, g)
	}
}
