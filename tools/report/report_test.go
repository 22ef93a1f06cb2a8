package report_test

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/staykey/staykey/tools/report"
)

func TestWhatIsAppendedIsRead(t *testing.T) { // not parallel: it sets a variable
	type row struct{ Name string }
	path := filepath.Join(t.TempDir(), "report.jsonl")
	t.Setenv("STAYKEY_TEST_REPORT", path)
	want := []row{{"one\ntwo"}, {"three"}}
	for _, r := range want {
		report.Append(t, "STAYKEY_TEST_REPORT", r)
		report.Append(t, "STAYKEY_TEST_NO_REPORT", r)
	}
	if got, err := report.Read[row](path); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
}
