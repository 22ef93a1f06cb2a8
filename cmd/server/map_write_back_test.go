package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestMapWriteBack(t *testing.T) {
	t.Parallel()
	const reservation = `{"reservation_id": "3333122", "guest_link": {"url": "https://keys.example.com/k/x"}}`
	for name, c := range map[string]struct {
		command mapCommand
		in      string
		want    string
		problem string
	}{
		"the link": {
			mapCommand{WriteBack: "hostaway"},
			reservation,
			`"doorCode": "https://keys.example.com/k/x"`, "",
		},
		"a text": {
			mapCommand{WriteBack: "beds24", Text: `"Key: " + .guest_link.url`},
			reservation,
			`"text": "Key: https://keys.example.com/k/x"`, "",
		},
		"both routes": {mapCommand{WriteBack: "guesty"}, reservation, `"route": "legacy"`, ""},
		"a form": {
			mapCommand{WriteBack: "cloudbeds", Field: "link", With: map[string]string{"property": "9"}},
			reservation, `propertyID=9`, "",
		},
		"another field": {
			mapCommand{WriteBack: "hostaway", Field: "door"},
			reservation, "",
			"is not a field that hostaway can write",
		},
		"no property": {mapCommand{WriteBack: "cloudbeds", Field: "link"}, reservation, "", "needs property=VALUE"},
		"no link": {
			mapCommand{WriteBack: "hostaway"},
			`{"reservation_id": "1", "guest_link": null}`, "",
			"nothing to write",
		},
		"no reservation":  {mapCommand{WriteBack: "hostaway"}, `{}`, "", "has no reservation_id"},
		"another preset":  {mapCommand{WriteBack: "opera"}, reservation, "", "is not a write-back preset"},
		"a wrong program": {mapCommand{WriteBack: "hostaway", Text: `.a |`}, reservation, "", "--text"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			c.command.Payload = "-"
			err := c.command.Run(t.Context(), &streams{in: strings.NewReader(c.in), out: &out})
			if c.problem == "" && (err != nil || !strings.Contains(out.String(), c.want)) || c.problem != "" &&
				(err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("%v\n%s", err, out.String())
			}
		})
	}
}
