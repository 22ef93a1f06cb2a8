package guest

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/store"
)

// A search counts for what needed one when it began, however long the answer took: what was lost shortly before may not
// have shown yet.
func TestASearchIsAsOldAsItsQuestion(t *testing.T) {
	t.Parallel()
	began := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	now := func() time.Time { return began.Add(8 * time.Second) }
	s := &Service{options: Options{ReadLag: 5 * time.Second, Now: now}}
	lost := func(before time.Duration) store.HandedOut {
		at := began.Add(-before)
		return store.HandedOut{IdentityID: "i1", LostAt: &at}
	}
	c := &cleaning{Service: s, has: []store.HandedOut{lost(5 * time.Second), lost(4 * time.Second)}}
	c.searched("i1", began)
	if c.has[0].Looks != 1 || c.has[1].Looks != 0 {
		t.Errorf("counted for the one whose read lag had passed: %d, for the other: %d", c.has[0].Looks, c.has[1].Looks)
	}
}
