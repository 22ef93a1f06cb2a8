package intake

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/store"
)

// Events count in the order of their times, if both times come from the PMS or both are times of receipt. Between the
// two clocks the order of receipt decides, unless a webhook is plainly late.
func TestOrderOfChanges(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }
	type moment struct {
		seconds int // of the sender's time, or of receipt
		seq     int64
		receipt bool
		status  string
	}
	for _, c := range []struct {
		why      string
		change   moment
		document bool
		row      moment
		older    bool
	}{
		{"two times of the PMS", moment{10, 2, false, pms.Confirmed}, false, moment{20, 1, false, pms.Confirmed}, true},
		{
			"two times of the PMS, of a cancel",
			moment{10, 2, false, pms.Cancelled},
			false,
			moment{20, 1, false, pms.Confirmed},
			true,
		},
		{
			"one time of the PMS, twice",
			moment{10, 2, false, pms.Confirmed},
			false,
			moment{10, 1, false, pms.Confirmed},
			false,
		},
		{"two times of receipt", moment{20, 2, true, pms.Confirmed}, false, moment{10, 1, true, pms.Confirmed}, false},
		{
			"a webhook received later, by a slow clock",
			moment{-20, 2, false, pms.Confirmed},
			false,
			moment{0, 1, true, pms.Confirmed},
			false,
		},
		{
			"a webhook that is late",
			moment{-40, 2, false, pms.Confirmed},
			false,
			moment{0, 1, true, pms.Confirmed},
			true,
		},
		{
			"a webhook that is late, after a cancel",
			moment{-40, 2, false, pms.Confirmed},
			false,
			moment{0, 1, true, pms.Cancelled},
			true,
		},
		{
			"a cancel that is late",
			moment{-40, 2, false, pms.Cancelled},
			false,
			moment{0, 1, true, pms.Confirmed},
			false,
		},
		{
			"a document that was changed before the cancel was received",
			moment{-4000, 2, false, pms.Confirmed},
			true,
			moment{0, 1, true, pms.Cancelled},
			false,
		},
		{
			"a document of an earlier webhook",
			moment{-40, 1, false, pms.Confirmed},
			true,
			moment{0, 2, true, pms.Cancelled},
			true,
		},
		{"an earlier webhook", moment{-10, 1, false, pms.Confirmed}, false, moment{0, 2, true, pms.Confirmed}, true},
		{
			"received later than a time of the PMS",
			moment{0, 2, true, pms.Confirmed},
			false,
			moment{-10, 1, false, pms.Confirmed},
			false,
		},
		{
			"received earlier than a webhook that was not late",
			moment{0, 1, true, pms.Confirmed},
			false,
			moment{-10, 2, false, pms.Confirmed},
			true,
		},
		{
			"received earlier than a webhook that was late",
			moment{0, 1, true, pms.Cancelled},
			false,
			moment{-40, 2, false, pms.Confirmed},
			false,
		},
		{
			"received earlier than a cancel, however late it was",
			moment{0, 1, true, pms.Confirmed},
			false,
			moment{-40, 2, false, pms.Cancelled},
			true,
		},
	} {
		row := store.Reservation{Status: c.row.status, VersionAt: at(c.row.seconds), VersionSeq: c.row.seq}
		if c.row.receipt {
			received := row.VersionAt
			row.VersionReceipt = &received
		}
		change := change{
			Change:  pms.Change{Reservation: &pms.Reservation{Status: c.change.status}},
			version: version{at(c.change.seconds), c.change.seq, c.change.receipt}, foreign: true, document: c.document,
		}
		if got := change.isOlder(row); got != c.older {
			t.Errorf("%s: older is %v", c.why, got)
		}
	}
}

// In rows of versions that kept no more than the time, times of receipt are known by their microseconds. A later
// version that keeps it tells a receipt in a whole millisecond, too; an old one that changes such a row doesn't.
func TestTimesOfReceipt(t *testing.T) {
	t.Parallel()
	whole, fine := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 12, 0, 0, 1000, time.UTC)
	for _, c := range []struct {
		why           string
		at            time.Time
		receipt       *time.Time
		isFromReceipt bool
	}{
		{"a receipt in a whole millisecond", whole, &whole, true},
		{"a receipt", fine, &fine, true},
		{"changed by an old version since", whole, &fine, false},
		{"an old row of the PMS's time", whole, nil, false},
		{"an old row of a receipt", fine, nil, true},
	} {
		if got := (store.Reservation{VersionAt: c.at, VersionReceipt: c.receipt}).ByReceipt(); got != c.isFromReceipt {
			t.Errorf("%s: %v", c.why, got)
		}
	}
}
