package admin

import (
	"testing"

	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// A key that waits for the provisioner says why nothing is provisioned.
func TestWithStopped(t *testing.T) {
	t.Parallel()
	const why = "Seam does not accept SEAM_API_KEY: set a valid one"
	const stopped = "Keys are not being created or changed: " + why + "."
	for _, c := range []struct {
		name, status, message, why, want string
	}{
		{"a new stay", stay.KeyProvisioning, "", why, stopped},
		{"a cancelled stay", stay.KeyRevoking, "", why, stopped},
		{"its last attempt failed", stay.KeyProvisioning, "Seam refused it.", why, "Seam refused it."},
		{"keys are being created", stay.KeyProvisioning, "", "", ""},
		{"a key that waits for the PMS", stay.KeyWaiting, "", why, ""},
		{"an issued key", stay.KeyIssued, "", why, ""},
		{"a removed key", stay.KeyRevoked, "", why, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := Reservations{&core{config: Config{Stopped: func() string { return c.why }}}}
			v := View{Key: store.MobileKey{Status: c.status}}
			if c.message != "" {
				v.Key.Message = &c.message
			}
			if got := stay.Text(s.withStopped(v).Key.Message); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	t.Run("a service without a provisioner", func(t *testing.T) {
		t.Parallel()
		v := View{Key: store.MobileKey{Status: stay.KeyProvisioning}}
		if got := (Reservations{&core{}}).withStopped(v).Key.Message; got != nil {
			t.Errorf("got %q", *got)
		}
	})
}
