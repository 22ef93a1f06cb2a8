package provisioner

import (
	"testing"
	"time"
	"unsafe"

	"github.com/staykey/staykey/internal/seam"
)

// A machine is suspended for longer than a lease and resumes: its monotonic clock has stood still, and only the wall
// clock shows that the lease is over. No call is made.
func TestNoCallAfterAMachineWasSuspended(t *testing.T) {
	t.Parallel()
	client, err := seam.New(seam.Config{Endpoint: "http://127.0.0.1:1", APIKey: "k", Timeout: 8 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	p := &Provisioner{seam: client, options: Options{ReadLag: 5 * time.Second}}
	until := time.Now().Add(time.Hour)
	if err := p.mayCall(until); err != nil {
		t.Errorf("under a lease: %v", err)
	}
	if p.mayCall(beforeSuspension(until, 2*time.Hour)) == nil {
		t.Error("a call is made although the lease ended while the machine was suspended")
	}
	if p.mayCall(until.Add(-2*time.Hour)) == nil {
		t.Error("a call is made although the lease has ended")
	}
}

// beforeSuspension is a time that was read before a machine was suspended for d: since then the wall clock has moved
// by d, and the monotonic clock has not. Seconds of a time with both are in bits 30 to 62 of its first word.
func beforeSuspension(t time.Time, d time.Duration) time.Time {
	*(*uint64)(unsafe.Pointer(&t)) -= uint64(d/time.Second) << 30 // #nosec G103 G115 -- nothing else can stop a clock
	return t
}
