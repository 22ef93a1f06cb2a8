package writeback

import (
	"context"
	"encoding/json"

	"github.com/staykey/staykey/internal/pms"
)

// Preview is what would be sent for one reservation, without credentials.
type Preview struct {
	Text  string        `json:"text"`
	Read  *PreviewCall  `json:"read"`
	Write []PreviewCall `json:"write"` // by the preset's routes: the next one is tried where the PMS answers 404
	Clear []PreviewCall `json:"clear"`
}

// PreviewCall is one request.
type PreviewCall struct {
	Route  string          `json:"route,omitempty"`
	Method string          `json:"method"`
	URL    string          `json:"url"`
	Body   json.RawMessage `json:"body,omitempty"`
	Form   string          `json:"form,omitempty"`
}

// PreviewOf plans the calls for a booking. found is the preset's view of the field's current content; nil means
// unknown, or empty if the preset reads first.
func PreviewOf(ctx context.Context, set *pms.WriteBackSettings, id string, reservation any,
	found map[string]any,
) (Preview, error) {
	text, err := TextOf(ctx, set, reservation)
	if err != nil {
		return Preview{}, err
	}

	rules, _ := set.Preset.Rules(set.Field)
	p := Preview{Text: fit(set, text), Write: []PreviewCall{}, Clear: []PreviewCall{}}
	wanted := p.Text
	if rules.Shared && wanted != "" {
		wanted = splice(foundText(found), wanted)
	}

	routes := set.Preset.Routes
	if len(routes) == 0 {
		routes = []string{""}
	}

	read, err := set.Read(ctx, pms.WriteBackStep{ID: id, Route: routes[0], Found: found})
	if err != nil {
		return p, err
	}
	if read != nil {
		shown := show(*read, routes[0])
		p.Read = &shown
	}
	for _, route := range routes {
		if err := p.add(ctx, set, pms.WriteBackStep{ID: id, Route: route, Found: found}, wanted); err != nil {
			return p, err
		}
	}
	return p, nil
}

// add adds the calls of a route: the one that clears the field, and the one that writes the text, if there is one.
func (p *Preview) add(ctx context.Context, set *pms.WriteBackSettings, step pms.WriteBackStep, text string) error {
	clear, err := set.Erase(ctx, step)
	if err != nil {
		return err
	}
	if clear != nil {
		p.Clear = append(p.Clear, show(*clear, step.Route))
	}

	if text == "" {
		return nil
	}
	step.Text = text
	write, err := set.Write(ctx, step)
	if err != nil {
		return err
	}
	p.Write = append(p.Write, show(*write, step.Route))
	return nil
}

func show(c pms.PlannedCall, route string) PreviewCall {
	shown := PreviewCall{Route: route, Method: c.Method, URL: c.Address}
	if c.Form != nil {
		shown.Form = c.Form.Encode()
	} else if c.JSON != nil {
		shown.Body, _ = json.Marshal(c.JSON) // decoded JSON: it can't fail
	}
	return shown
}
