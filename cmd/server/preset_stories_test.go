package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store/storetest"
	"github.com/staykey/staykey/internal/until"
)

// act is one webhook, or one change of a PMS's documents, and the resulting state of a reservation.
type act struct {
	Why       string            `yaml:"why"`
	Documents map[string]string `yaml:"documents"` // of its API, by the beginning of path and query
	Query     string            `yaml:"query"`     // of the webhook's URL
	Body      string            `yaml:"body"`
	// Want is the reservation: its id, then status, listing, check-in, check-out, e-mail address and the key's status;
	// * is anything and - none.
	Want string `yaml:"want"`
}

// filledIn puts days, {D+20}, and instants, {T-5} with hours, into a text. An instant where a day would do, {T-5}T, is
// cut to its minute.
func filledIn(text string, now time.Time) string {
	return regexp.MustCompile(`\{([DT])([+-]\d+)?\}(T )?`).ReplaceAllStringFunc(text, func(found string) string {
		part := regexp.MustCompile(`\{([DT])([+-]\d+)?\}(T )?`).FindStringSubmatch(found)
		n, _ := strconv.Atoi(cmp.Or(part[2], "0"))
		if part[1] == "D" {
			return now.AddDate(0, 0, n).Format("2006-01-02")
		}
		at := now.Add(time.Duration(n) * time.Hour)
		switch {
		case part[3] == "":
			return at.Format(time.RFC3339)
		case part[2] == "": // some time during the test
			return "* "
		}
		return at.Format("2006-01-02T15:04 ")
	})
}

// TestPresetStories plays, for every preset, a booking from its PMS's own words to the key: guests whose address comes
// or changes later, rooms that come, go and follow one another, early check-ins, hours in odd forms, and cancels in
// which only the id can be read.
func TestPresetStories(t *testing.T) {
	t.Parallel()
	_, env := simulated(t, storetest.DSN(t))
	apis := map[string]*fakePMS{}
	config := "sources:\n"
	for _, preset := range pms.Presets() {
		format, err := pms.LoadFormat(preset)
		if err != nil {
			t.Fatal(err)
		}
		config += fmt.Sprintf(
			"  - name: %s\n    format: %s\n    time_zone: UTC\n    access_groups: [\"555555-5555\", \"666666-6666\"]\n    verify: {method: url-token, secrets: [\"%s-url-token-0123456789\"]}\n", preset, preset, preset)
		if format.Fetch != nil {
			api := newFakePMS(t, func(*http.Request, []byte) bool { return true }, map[string][]byte{})
			api.failures = nil
			apis[preset] = api
			config += "    " + fetchFrom(api, format.Fetch.Auth) + "\n"
		}
	}
	file := configFile(t, config)
	p := launch(t, append(env, "STAYKEY_CONFIG="+file, "STAYKEY_RETRY_BASE=50ms"))
	for _, preset := range pms.Presets() {
		t.Run(preset, func(t *testing.T) {
			t.Parallel()
			q := &process{t: t, url: p.url}
			for listing, group := range map[string]string{"a": "555555-5555", "b": "666666-6666"} {
				if got := q.admin(http.MethodPut, "/v1/listings/"+preset+"/"+listing,
					[]byte(`{"seam_access_group_ids": ["`+group+`"]}`), nil); got != http.StatusCreated {
					t.Fatalf("PUT listing: %d", got)
				}
			}
			now := time.Now().UTC()
			for _, a := range scenarioOf(t, preset).Acts {
				q.play(preset, apis[preset], a, now)
			}
		})
	}
}

func (p *process) play(preset string, api *fakePMS, a act, now time.Time) {
	p.t.Helper()
	for path, document := range a.Documents {
		api.mu.Lock()
		api.documents[path] = []byte(filledIn(document, now))
		api.mu.Unlock()
	}
	if a.Body != "" {
		path := "/webhooks/" + preset + "/" + preset + "-url-token-0123456789?" + a.Query
		if got := p.send(http.MethodPost, path, []byte(filledIn(a.Body, now)), nil); got != http.StatusAccepted {
			p.t.Fatalf("%s: answered %d", a.Why, got)
		}
		waitUntil(p.t, a.Why+" to be applied", func() bool {
			var waiting struct{ Items []any }
			return p.get("/v1/events?status=accepted&source="+preset, &waiting) == http.StatusOK &&
				len(waiting.Items) == 0
		})
	}
	if a.Want == "" {
		return
	}
	want := strings.Fields(filledIn(a.Want, now))
	var got []string
	until.Reached(p.t, func() bool {
		got = p.stay(preset, want[0])
		return matches(got, want)
	}, func() {
		var timeline struct{ Items []json.RawMessage }
		p.get("/v1/reservations/"+preset+"/"+url.PathEscape(want[0])+"/timeline", &timeline)
		p.t.Fatalf("%s:\ngot  %s\nwant %s\n%s", a.Why, got, want, timeline.Items)
	})
}

func matches(got, want []string) bool {
	for i, w := range want {
		if w != "*" && (i >= len(got) || got[i] != w) {
			return false
		}
	}
	return true
}

// stay is a reservation as [act].want has it.
func (p *process) stay(source, id string) []string {
	var r struct {
		Status     any     `json:"status"` // a number in a problem
		ListingID  *string `json:"listing_id"`
		CheckIn    *string `json:"check_in"`
		CheckOut   *string `json:"check_out"`
		GuestEmail *string `json:"guest_email"`
		MobileKey  struct {
			Status string `json:"status"`
		} `json:"mobile_key"`
	}
	if p.get("/v1/reservations/"+source+"/"+url.PathEscape(id), &r) != http.StatusOK {
		return []string{id, "none"}
	}
	text := func(s *string, most int) string {
		if s == nil {
			return "-"
		}
		return (*s)[:min(len(*s), most)]
	}
	return []string{
		id, fmt.Sprint(r.Status), text(r.ListingID, 100), text(r.CheckIn, 16), text(r.CheckOut, 16),
		text(r.GuestEmail, 100), r.MobileKey.Status,
	}
}
