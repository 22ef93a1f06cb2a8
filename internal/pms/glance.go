package pms

import (
	"encoding/json"
	"net/url"
	"strings"
)

// Glance is what is known about a webhook before it is mapped.
type Glance struct {
	ID   string // what tells a repetition of the event: the sender's id, with its type; "" where it has none
	Type string // the sender's type of it; "" where it doesn't say
	Body []byte // as it may be stored: the paths that the format names are redacted
}

// Glance reads only what accepting a webhook needs. The error is [ErrNotJSON] or [ErrNotForm].
func (f *Format) Glance(body []byte, r Request) (Glance, error) {
	g := Glance{Body: body}
	v, err := Mapping{Body: body, Request: r}.body()
	if err != nil {
		return g, err
	}
	g.Type = f.typeOf(v, r)
	if f.ID != "" {
		// Two types are never the same event: Hospitable's documented samples, for one, share their id.
		if id := textAt(v, f.ID); CheckWebhookID(id) == nil {
			g.ID = strings.TrimLeft(g.Type+" "+id, " ")
		}
	}
	found := false
	for _, at := range f.Redact {
		found = blacken(v, strings.Split(at, ".")) || found
	}
	if !found {
		return g, nil
	}
	if r.Kind == "form" {
		g.Body = encodeForm(v)
		return g, nil
	}
	g.Body, err = json.Marshal(v)
	return g, err
}

func (f *Format) typeOf(body any, r Request) string {
	var parts []string
	for _, at := range f.Type {
		part := ""
		if name, ok := strings.CutPrefix(at, "query:"); ok {
			part = r.Query[name]
		} else {
			part = textAt(body, at)
		}
		if part != "" {
			parts = append(parts, part)
		}
	}
	if t := strings.Join(parts, "."); len(t) <= maxText {
		return printable(t, maxText)
	}
	return ""
}

// textAt is the text or number at a dotted path. Of a list the first item is used.
func textAt(v any, at string) string {
	switch v := Lookup(v, at).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// Lookup returns what is at a dotted path of a decoded JSON value; nil if there is nothing.
func Lookup(v any, at string) any {
	for _, name := range strings.Split(at, ".") {
		if list, ok := v.([]any); ok && len(list) > 0 {
			v = list[0]
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = object[name]
	}
	return v
}

// encodeForm writes a form that [Mapping.body] has read.
func encodeForm(v any) []byte {
	values := url.Values{}
	if form, ok := v.(map[string]any); ok {
		for name, value := range form {
			text, _ := asText(value)
			values.Set(name, text)
		}
	}
	return []byte(values.Encode())
}

// redacted replaces values that must not be stored.
const redacted = "[redacted]"

func blacken(v any, at []string) bool {
	switch v := v.(type) {
	case []any:
		found := false
		for _, item := range v {
			found = blacken(item, at) || found
		}
		return found
	case map[string]any:
		value, there := v[at[0]]
		switch {
		case !there || value == nil:
			return false
		case len(at) == 1:
			v[at[0]] = redacted
			return true
		}
		return blacken(value, at[1:])
	}
	return false
}
