package web

import (
	"fmt"
	"net/http"

	"github.com/staykey/staykey/internal/admin"
)

// setupStep is a line of the checklist on Today.
type setupStep struct {
	Title string
	Done  bool
	Now   string // what is known about it
	Do    []setupLink
	Test  string // a source to send a test event to; "" for none
}

// setupLink is a link to the page on which a step is done.
type setupLink struct{ Title, Href string }

// setupSteps are the steps from a new installation to the first key.
func (s *Pages) setupSteps(r *http.Request) ([]setupStep, error) {
	set, err := s.Admin.Setup(r.Context())
	if err != nil {
		return nil, err
	}
	return []setupStep{seamStep(set), pmsStep(set), testStep(set), doorsStep(set), keyStep(set)}, nil
}

func seamStep(set admin.Setup) setupStep {
	step := setupStep{Title: "Connect Seam", Done: set.Paused == "" && set.Asked && set.Doors > 0}
	health := []setupLink{{"Open Health", "/health"}}
	switch {
	case set.Paused != "":
		step.Now, step.Do = "Not working: "+set.Paused, health
	case !set.Asked:
		step.Now, step.Do = "Seam doesn't answer.", health
	case set.Doors == 0:
		step.Now = "Seam answers, but has no doors. Connect your Salto KS site in the Seam console, " +
			"and create its access groups in Salto KS."
	default:
		step.Now = "Connected: " + plural(set.Doors, "door") + " to choose from."
	}
	return step
}

func pmsStep(set admin.Setup) setupStep {
	step := setupStep{Title: "Connect your PMS", Done: set.Connected()}
	for _, source := range set.Sources {
		if source.LastEventAt == nil {
			link := escapedPath([]string{"sources", source.Name})
			step.Do = append(step.Do, setupLink{"Connect " + source.Name, link})
		}
	}
	switch {
	case len(set.Sources) == 0:
		step.Now = "No source is configured. Set STAYKEY_WEBHOOK_SECRET, or add sources to the config file."
	case step.Done:
		step.Now = "Its first events have arrived."
	default:
		step.Now = "Enter the webhook's address and its secret in your PMS."
	}
	return step
}

func testStep(set admin.Setup) setupStep {
	step := setupStep{Title: "Receive a test event", Done: set.Tested()}
	if step.Done {
		step.Now = "Received."
		return step
	}
	step.Now = "It goes the way of your PMS's events, and has no effect."
	for _, source := range set.Sources {
		if source.Verify != "" {
			step.Test = source.Name
			break
		}
	}
	return step
}

func doorsStep(set admin.Setup) setupStep {
	step := setupStep{Title: "Choose doors", Done: set.Listings && set.Missing == 0}
	switch {
	case set.Missing > 0:
		step.Now = plural(set.Missing, "listing") + " without doors: their guests get no key."
		step.Do = []setupLink{{"Choose doors", "/doors?missing=1"}}
	case !set.Listings:
		step.Now = "Listings appear when your PMS sends them, or a reservation names them. You can also upload a table."
		step.Do = []setupLink{{"Upload a table", "/doors"}}
	default:
		step.Now = "Every listing has its doors."
	}
	return step
}

func keyStep(set admin.Setup) setupStep {
	step := setupStep{Title: "Create the first key", Done: set.Key}
	switch {
	case step.Done:
		step.Now = "Done."
	case !set.Stays:
		step.Now = "The first reservation from your PMS gets its key within seconds. " +
			"Existing bookings come with staykey import."
	default:
		step.Now = "Reservations are here, and none has its key yet."
		step.Do = []setupLink{{"Open reservations", "/reservations"}}
	}
	return step
}

// setupDone says how many steps are done.
func setupDone(steps []setupStep) string {
	done := 0
	for _, step := range steps {
		if step.Done {
			done++
		}
	}
	return fmt.Sprintf("%d of %d done", done, len(steps))
}
