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

	for i, route := range routes {
		step := pms.WriteBackStep{ID: id, Route: route, Found: found}
		if i == 0 {
			read, err := set.Read(ctx, step)
			if err != nil {
				return p, err
			}
			if read != nil {
				shown := show(*read, route)
				p.Read = &shown
			}
		}

		clear, err := set.Erase(ctx, step)
		if err != nil {
			return p, err
		}
		if clear != nil {
			p.Clear = append(p.Clear, show(*clear, route))
		}

		if step.Text = wanted; wanted == "" {
			continue
		}
		write, err := set.Write(ctx, step)
		if err != nil {
			return p, err
		}
		p.Write = append(p.Write, show(*write, route))
	}
	return p, nil
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
