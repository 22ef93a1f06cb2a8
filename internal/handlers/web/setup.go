package web

import (
	"net/http"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/lang"
)

// setupStep is a line of the checklist on Today.
type setupStep struct {
	Title lang.Text
	Done  bool
	Now   string // what is known about it
	Do    []setupLink
	Test  string // a source to send a test event to; "" for none
}

// setupLink is a link to the page on which a step is done.
type setupLink struct{ Title, Href string }

// setupSteps are the steps from a new installation to the first key.
func (s dayPages) setupSteps(r *http.Request) ([]setupStep, error) {
	set, err := s.Admin.Overview.Setup(r.Context())
	if err != nil {
		return nil, err
	}
	in := localeOf(r)
	return []setupStep{
		seamStep(in, set), pmsStep(in, set), testStep(in, set), doorsStep(in, set), keyStep(in, set),
	}, nil
}

func seamStep(in *lang.Locale, set admin.Setup) setupStep {
	step := setupStep{Title: "Connect Seam", Done: set.Paused == "" && set.Asked && set.Doors > 0}
	health := []setupLink{{in.T("Open Health"), "/health"}}
	switch {
	case set.Paused != "":
		step.Now, step.Do = in.T("Not working: {why}", in.Foreign(set.Paused)), health
	case !set.Asked:
		step.Now, step.Do = in.T("Seam doesn't answer."), health
	case set.Doors == 0:
		step.Now = in.T("Seam answers, but has no doors. Connect your Salto KS site in the Seam console, " +
			"and create its access groups in Salto KS.")
	default:
		step.Now = in.T("Connected: {n} door to choose from.|Connected: {n} doors to choose from.", set.Doors)
	}
	return step
}

func pmsStep(in *lang.Locale, set admin.Setup) setupStep {
	step := setupStep{Title: "Connect your PMS", Done: set.Connected()}
	for _, source := range set.Sources {
		if source.LastEventAt == nil {
			link := escapedPath([]string{"sources", source.Name})
			step.Do = append(step.Do, setupLink{in.T("Connect {name}", source.Name), link})
		}
	}
	switch {
	case len(set.Sources) == 0:
		step.Now = in.T("No source is configured. Set STAYKEY_WEBHOOK_SECRET, or add sources to the config file.")
	case step.Done:
		step.Now = in.T("Its first events have arrived.")
	default:
		step.Now = in.T("Enter the webhook's address and its secret in your PMS.")
	}
	return step
}

func testStep(in *lang.Locale, set admin.Setup) setupStep {
	step := setupStep{Title: "Receive a test event", Done: set.Tested()}
	if step.Done {
		step.Now = in.T("Received.")
		return step
	}
	step.Now = in.T("It takes the same path as your PMS's events, and has no effect.")
	for _, source := range set.Sources {
		if source.Verify != "" {
			step.Test = source.Name
			break
		}
	}
	return step
}

func doorsStep(in *lang.Locale, set admin.Setup) setupStep {
	step := setupStep{Title: "Choose doors", Done: set.Listings && set.Missing == 0}
	switch {
	case set.Missing > 0:
		step.Now = in.T("{n} listing without doors: its guests get no key.|{n} listings without doors: their guests get no key.",
			set.Missing)
		step.Do = []setupLink{{in.T("Choose doors"), missingDoors}}
	case !set.Listings:
		step.Now = in.T("Listings appear when your PMS sends them, or a reservation names them. " +
			"You can also upload a table.")
		step.Do = []setupLink{{in.T("Upload a table"), "/doors"}}
	default:
		step.Now = in.T("Every listing has its doors.")
	}
	return step
}

func keyStep(in *lang.Locale, set admin.Setup) setupStep {
	step := setupStep{Title: "Create the first key", Done: set.Key}
	switch {
	case step.Done:
		step.Now = in.T("Done.")
	case !set.Stays:
		step.Now = in.T("The first reservation from your PMS gets its key within seconds. " +
			"Import existing bookings with staykey import.")
	default:
		step.Now = in.T("Reservations are here, and none has its key yet.")
		step.Do = []setupLink{{in.T("Open reservations"), "/reservations"}}
	}
	return step
}

// setupDone says how many steps are done.
func setupDone(in *lang.Locale, steps []setupStep) string {
	done := 0
	for _, step := range steps {
		if step.Done {
			done++
		}
	}
	return in.T("{done} of {total} done", done, len(steps))
}
