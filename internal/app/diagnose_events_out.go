package app

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/stay"
)

// failingAfter is how many failures in a row are more than a mishap.
const failingAfter = 3

// subscriptions reports receivers that don't take their messages.
func (d *diagnosis) subscriptions(ctx context.Context) {
	var names []string
	for _, s := range d.configured.subscriptions() {
		names = append(names, s.Name)
	}
	states, err := d.store.Subscriptions.Named(ctx, names)
	if err != nil {
		d.found("subscription", admin.LevelError, "all", "check that Postgres runs",
			"subscriptions can't be read: %v", err)
		return
	}
	for _, name := range names {
		s, seen := states[name]
		enable := "correct the receiver, then run staykey subscriptions enable " + name
		switch {
		case !seen:
			d.found("subscription", admin.LevelOK, name, "", "new: not checked yet")
		case s.DisabledAt != nil:
			d.found("subscription", admin.LevelError, name, enable, "disabled since %s by %s: %s",
				s.DisabledAt.UTC().Format(time.RFC3339), stay.Text(s.DisabledBy), stay.Text(s.DisabledWhy))
		case s.Failures >= failingAfter && s.FailingSince != nil:
			d.found("subscription", admin.LevelError, name, "correct the receiver; messages are retried automatically",
				"nothing delivered since %s, %d failures in a row: %s",
				s.FailingSince.UTC().Format(time.RFC3339), s.Failures, stay.Text(s.LastError))
		default:
			d.found("subscription", admin.LevelOK, name, "", "messages are delivered")
		}
	}
}

// gates reports gates that nothing has ever set: every key of their sources waits.
func (d *diagnosis) gates(ctx context.Context) {
	for _, source := range slices.Sorted(maps.Keys(d.configured.sources.Load().Sources)) {
		gates := d.configured.gates(source)
		if len(gates) == 0 {
			continue
		}
		set, stays, err := d.store.Gates.NamesSet(ctx, source)
		if err != nil {
			d.found("gates", admin.LevelError, source, "check that Postgres runs", "gates can't be read: %v", err)
			continue
		}
		never := slices.DeleteFunc(namesOf(gates), func(name string) bool { return slices.Contains(set, name) })
		switch {
		case stays && len(never) > 0:
			d.found("gates", admin.LevelWarning, source,
				"have the PMS's events or a program set it (docs/gates.md), or remove it from the config file",
				"nothing has set gate %s of any reservation: it counts as closed", strings.Join(never, ", "))
		default:
			d.found("gates", admin.LevelOK, source, "", "gates: %s", strings.Join(namesOf(gates), ", "))
		}
	}
}

func namesOf(gates []pms.Gate) []string {
	names := make([]string, len(gates))
	for i, g := range gates {
		names[i] = g.Name
	}
	return names
}
