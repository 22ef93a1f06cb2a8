package stay

import "time"

// States of a gate.
const (
	GateOpen    = "open"
	GateClosed  = "closed"
	GateUnknown = "unknown" // counts as closed
)

// GateStates returns every state.
func GateStates() []string { return []string{GateOpen, GateClosed, GateUnknown} }

// What a gate withholds.
const (
	HoldsKey  = "key"  // nothing is created at Seam before it is open
	HoldsLink = "link" // the key is created, but not handed out
)

// GateRule is a gate as a source configures it.
type GateRule struct {
	Name   string
	Holds  string // HoldsKey or HoldsLink
	Revoke bool   // a key is taken away when the gate closes again, as long as the stay has not begun
}

// GateReport is what somebody set for a gate of a stay.
type GateReport struct {
	State    string // "" of a person who took the decision back
	By       string
	At       time.Time
	Evidence string
	Opened   bool // anyone who this is has sent at some time that the gate is open
}

// GateReports are the last reports about one gate. The later of those of the PMS and of programs counts, unless a
// person has decided.
type GateReports struct {
	PMS     *GateReport
	Program *GateReport
	Person  *GateReport
}

// Gate is a gate of one stay.
type Gate struct {
	GateRule
	State    string
	By       string    // "" if nobody has set it
	At       time.Time // zero if nobody has set it
	Evidence string
	Opened   bool // it was open at some time
	Decided  bool // by a person: what the PMS and programs say doesn't count until a person takes it back
}

// Closed reports whether the gate withholds something.
func (g Gate) Closed() bool { return g.State != GateOpen }

// TakesKey reports whether the gate takes a key away, while the stay has not begun.
func (g Gate) TakesKey() bool {
	return g.Closed() && g.Revoke && (g.Holds == HoldsKey || g.Opened)
}

// Gates returns the gates of a stay, in the order of the configuration.
func Gates[Rule ~struct {
	Name   string
	Holds  string
	Revoke bool
}](rules []Rule, words map[string]GateReports,
) []Gate {
	gates := make([]Gate, len(rules))
	for i, rule := range rules {
		gates[i] = words[GateRule(rule).Name].gate(GateRule(rule))
	}
	return gates
}

func (w GateReports) gate(rule GateRule) Gate {
	g := Gate{GateRule: rule, State: GateUnknown}
	for _, word := range []*GateReport{w.PMS, w.Program, w.Person} {
		g.Opened = g.Opened || word != nil && word.Opened
	}
	word := w.latest()
	if w.Person != nil && w.Person.State != "" {
		word, g.Decided = w.Person, true
	}
	if word != nil {
		g.State, g.By, g.At, g.Evidence = word.State, word.By, word.At, word.Evidence
	}
	return g
}

// latest is the later of what the PMS and programs sent; of two at the same time the program's.
func (w GateReports) latest() *GateReport {
	if w.Program == nil || w.PMS != nil && w.PMS.At.After(w.Program.At) {
		return w.PMS
	}
	return w.Program
}

// ClosedGates returns the names of the gates that are not open.
func ClosedGates(gates []Gate) []string {
	var names []string
	for _, g := range gates {
		if g.Closed() {
			names = append(names, g.Name)
		}
	}
	return names
}
