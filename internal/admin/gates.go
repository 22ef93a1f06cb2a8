package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/staykey/staykey/internal/intake"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// Gate is a gate of a reservation.
type Gate = stay.Gate

// GateChange is what is specified about a gate of a reservation.
type GateChange struct {
	Name     string
	State    string // open, closed or unknown; "" of a person who takes the decision back
	Evidence string
	Author   string // the person who decides; "" for a program, whose word the next event of the PMS replaces
}

// SetGate records what a program or a person reports about a gate, and returns the resulting gate.
func (s Actions) SetGate(ctx context.Context, ref stay.Ref, c GateChange) (Gate, error) {
	if err := visible(ctx, ref); err != nil {
		return Gate{}, err
	}
	actor, person := ActorOf(ctx), plainText(c.Author)
	if person == "" && actor.Via == ViaPage {
		person = cmp.Or(actor.Person, actor.Name) // anyone who is signed in is a person
	}
	gate, err := s.intake.SetGate(ctx, ref, intake.GateAction{
		Name: c.Name, State: c.State, Evidence: plainText(c.Evidence), By: actor.Author(person), Person: person != "",
		Audit: actor.Audit("set_gate", person),
	})
	if errors.Is(err, intake.ErrNoGate) {
		return Gate{}, refuse(NotFound, s.noGate(ref.Source, c.Name))
	}
	if err != nil {
		return Gate{}, refusedAction(err)
	}
	return gate, nil
}

func (s Actions) noGate(source, name string) string {
	names := []string{}
	for _, g := range s.gateRules(source) {
		names = append(names, g.Name)
	}
	if len(names) == 0 {
		return fmt.Sprintf("source %q has no gates: add them to its entry in the config file", source)
	}
	return fmt.Sprintf("source %q has no gate %q: it has %s", source, name, strings.Join(names, ", "))
}

func (s *core) gateRules(source string) []pms.Gate {
	if s.config.Gates == nil {
		return nil
	}
	return s.config.Gates(source)
}

// withGates fills in a reservation's gates, in the order of the configuration.
func (s Reservations) withGates(v View) View {
	v.Gates = stay.Gates(s.gateRules(v.Reservation.Source), v.GateReports)
	return v
}

// view reads one reservation with its gates and its guest's link.
func (s Reservations) view(ctx context.Context, ref stay.Ref) (View, error) {
	v, err := s.store.Reservations.View(ctx, ref)
	if err != nil {
		return v, err
	}
	v = withBackupCode(s.withWriteBack(s.withGates(v)))
	return v, s.addLinks(ctx, &v)
}

// views fills in the gates of reservations, the state of their fields at PMSs, and why keys wait.
func (s Reservations) views(list []View) []View {
	for i := range list {
		list[i] = s.withStopped(withBackupCode(s.withWriteBack(s.withGates(list[i]))))
	}
	return list
}
