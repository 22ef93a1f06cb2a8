package pms

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// A program that has no time left is stopped, which is reported separately from one that takes too many steps: trying
// again helps.
func TestBudgets(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		budget budget
		want   error
	}{
		"no time":   {budget{Context: context.Background(), steps: 1 << 40, until: -1}, ErrTooLong},
		"no steps":  {budget{Context: context.Background(), steps: 5000, until: math.MaxInt64}, errTooMuch},
		"shut down": {budget{Context: cancelled, steps: 1 << 40, until: math.MaxInt64}, context.Canceled},
	} {
		f, err := ParseFormat("own.jq", `[range(1e12)] | {ignore: "never"}`)
		if err != nil {
			t.Fatal(err)
		}
		v, ok := f.code.RunWithContext(&c.budget, nil).Next()
		if err, failed := v.(error); !ok || !failed || !errors.Is(err, c.want) || !errors.Is(c.budget.spent, c.want) {
			t.Errorf("%s: %v, spent by %v", name, v, c.budget.spent)
		}
	}
}

// A thousand orders with a thousand guests are one event, and take a small part of what a program may.
func TestAThousandOrders(t *testing.T) {
	t.Parallel()
	f, err := LoadFormat("mews")
	if err != nil {
		t.Fatal(err)
	}
	f.LongestRun = time.Hour // what is checked here is its steps, however slow the machine is
	var orders, customers, events []string
	for i := range 1000 {
		orders = append(orders, fmt.Sprintf(
			`{"Id": "r%d", "State": "Confirmed", "AccountId": "c%d", "AssignedResourceId": "room%d", "ScheduledStartUtc": "2030-11-01T15:00:00Z",
			"ScheduledEndUtc": "2030-11-04T11:00:00Z", "UpdatedUtc": "2024-10-20T08:00:00Z"}`, i, i, i))
		customers = append(customers, fmt.Sprintf(
			`{"Id": "c%d", "Email": "guest%d@example.com", "FirstName": "Jane", "LastName": "Doe"}`, i, i))
	}
	for i := range 1500 {
		events = append(events, fmt.Sprintf(`{"Discriminator": "ServiceOrderUpdated", "Value": {"Id": "r%04d"}}`, i))
	}
	body := []byte(`{"Events": [` + strings.Join(events, ",") + `]}`)
	e, err := f.Map(context.Background(), Mapping{Body: body})
	if err != nil || len(e.Fetches) != 2 || len(e.Fetches[0].IDs) != 1000 || len(e.Fetches[1].IDs) != 500 {
		t.Fatalf("%v, %d fetches", err, len(e.Fetches))
	}
	read := func(text string) any {
		v, err := DecodeJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	fetched := map[string]any{
		"reservations": []any{read(`{"Reservations": [` + strings.Join(orders, ",") + `]}`)},
		"customers":    []any{read(`{"Customers": [` + strings.Join(customers, ",") + `]}`)},
	}
	input := map[string]any{
		"body": read(string(body)), "headers": map[string]any{}, "query": map[string]any{},
		"path": "", "fetched": fetched,
	}
	all := mostSteps + stepsPerByte*(len(body)+documentsSize(fetched))
	b := &budget{Context: context.Background(), steps: all, until: math.MaxInt64}
	outputs := 0
	for results := f.code.RunWithContext(b, input); ; outputs++ {
		v, ok := results.Next()
		if !ok {
			break
		}
		if err, failed := v.(error); failed {
			t.Fatal(err)
		}
	}
	if used := all - b.steps; outputs != 1001 || used > all/4 {
		t.Errorf("%d outputs, %d of %d steps", outputs, used, all)
	}
	e, err = f.Map(context.Background(), Mapping{Body: body, Fetched: fetched})
	if err != nil || len(e.Changes) != 1000 || e.Recheck == "" || len(e.Rejected) > 0 ||
		*e.Changes[999].Reservation.GuestEmail != "guest999@example.com" {
		t.Errorf("%v, %d changes, %d rejected", err, len(e.Changes), len(e.Rejected))
	}
}

// The tolerant form of a program says the same as the program where nothing fails.
func TestTolerantFormsSayTheSame(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/payloads/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("%v, %d payloads", err, len(files))
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := LoadFormat(filepath.Base(filepath.Dir(file)))
		if err != nil {
			t.Fatal(err)
		}
		input := func(kind string) map[string]any {
			v, err := DecodeJSON(text)
			if err != nil {
				t.Fatal(err)
			}
			in := map[string]any{
				"body": v, "headers": map[string]any{}, "query": map[string]any{}, "path": "",
				"fetched": nil,
			}
			if kind != "" {
				in["body"], in["fetched"] = map[string]any{}, map[string]any{kind: []any{v}}
			}
			return in
		}
		kinds := []string{""}
		if f.Fetch != nil {
			kinds = slices.AppendSeq(kinds, maps.Keys(f.Fetch.Documents))
		}
		for _, kind := range kinds {
			want, err := f.run(context.Background(), Mapping{Body: text}, input(kind))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if got, err := f.runForm(context.Background(), f.tolerant, Mapping{Body: text}, input(kind)); err != nil ||
				!reflect.DeepEqual(got, want) {
				t.Errorf("%s as %q: %v\ngot  %v\nwant %v", file, kind, err, got, want)
			}
		}
	}
}
