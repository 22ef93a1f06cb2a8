package admin

import (
	"testing"
	"time"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A code is ready only while it opens doors, so that write-back puts no other into a PMS.
func TestWhenABackupCodeIsReady(t *testing.T) {
	t.Parallel()
	at, id, problem := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), "c1", "something"
	for name, c := range map[string]struct {
		change func(*store.BackupCode, *store.ACSUser)
		status string // "" for none
	}{
		"issued": {func(*store.BackupCode, *store.ACSUser) {}, stay.BackupReady},
		"not issued": {
			func(c *store.BackupCode, _ *store.ACSUser) { c.Waiting = true },
			stay.BackupPending,
		},
		"without digits": {
			func(c *store.BackupCode, _ *store.ACSUser) { c.Sealed = nil },
			stay.BackupPending,
		},
		"not shown once": {
			func(c *store.BackupCode, _ *store.ACSUser) { c.MissingAt = &at },
			stay.BackupPending,
		},
		"with an error": {
			func(c *store.BackupCode, _ *store.ACSUser) { c.Problem = &problem },
			stay.BackupFailed,
		},
		"being deleted":               {func(c *store.BackupCode, _ *store.ACSUser) { c.DeletingAt = &at }, ""},
		"of a user that was deleted":  {func(_ *store.BackupCode, u *store.ACSUser) { u.RemovedAt = &at }, ""},
		"of a user that is suspended": {func(_ *store.BackupCode, u *store.ACSUser) { u.SuspendedAt = &at }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code := store.BackupCode{CredentialID: &id, Sealed: []byte("sealed"), CodeAt: &at}
			v := View{User: &store.ACSUser{}, BackupCodeOf: &code}
			c.change(&code, v.User)
			v = withBackupCode(v)
			is := ""
			if v.BackupCode != nil {
				is = v.BackupCode.Status
			}
			if is != c.status || (CodeRecorded(v) != nil) != (c.status == stay.BackupReady) {
				t.Errorf("a code that is %s is %q, and its digits are given: %v", name, is, CodeRecorded(v) != nil)
			}
		})
	}
}
