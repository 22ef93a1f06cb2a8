package stay_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/stay"
)

func TestReasonsAreComplete(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, r := range stay.Reasons() {
		if seen[r.Code] {
			t.Errorf("%s has two rows", r.Code)
		}
		seen[r.Code] = true
		if !regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`).MatchString(r.Code) {
			t.Errorf("%q is not a code", r.Code)
		}
		if r.Message == "" || r.Fix == "" || r.Retry == "" || r.Desk.Problem == "" || r.Desk.Button == "" ||
			r.Desk.Opens == 0 {
			t.Errorf("%s: every column must be filled in: %+v", r.Code, r)
		}
		if !strings.HasSuffix(r.Message, ".") {
			t.Errorf("%s: the message is not a sentence: %q", r.Code, r.Message)
		}
	}
}

func TestMessagesHaveTheirDetails(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, code string
		details      []any
		want         string
	}{
		{
			"details fill the placeholders in their order", stay.ReasonBeforeHorizon,
			[]any{"noon", "2 days"},
			"The key is created at noon, 2 days before check-in.",
		},
		{
			"what is quoted can't end its quotes", stay.ReasonNoGroups,
			[]any{`a"b`, "/v1/listings/s/a"},
			`Listing "a\"b" has no access groups: set seam_access_group_ids in the PMS or with PUT /v1/listings/s/a.`,
		},
		{
			"a placeholder in a detail is no placeholder", stay.ReasonHeld,
			[]any{"{reason}"},
			"On hold by an admin ({reason}): nothing is changed at Seam until the hold is released.",
		},
	} {
		if got := stay.Message(c.code, c.details...); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}

// The runbook has a section for every reason, and describes none that does not exist.
func TestReasonsAreInTheRunbook(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(runbook), "\n## Reasons\n")
	text, _, _ = strings.Cut(text, "\n## ")
	var described []string
	for _, heading := range regexp.MustCompile("(?m)^### `([a-z_]+)`$").FindAllStringSubmatch(text, -1) {
		described = append(described, heading[1])
	}
	slices.Sort(described)
	codes := slices.Sorted(slices.Values(stay.Codes()))
	for _, code := range codes {
		if !slices.Contains(described, code) {
			t.Errorf("docs/runbook.md has no section for %s", code)
		}
	}
	for _, code := range described {
		if !slices.Contains(codes, code) {
			t.Errorf("docs/runbook.md describes %s, which is no reason", code)
		}
	}
}

func TestSayFillsInDetails(t *testing.T) {
	t.Parallel()
	got := stay.Message(stay.ReasonListingUnknown, "L1", stay.ListingPath("default", "L1"))
	want := `Listing "L1" isn't set up yet: have the PMS send it, or create it with PUT /v1/listings/default/L1.`
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a code without a row must panic")
		}
	}()
	stay.Message("no_such_reason")
}
