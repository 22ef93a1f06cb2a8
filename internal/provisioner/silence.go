package provisioner

import (
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// silence is how long Seam must have given no usable answer, and in how many tries in a row, before a person is
// notified.
const (
	silentTries   = 3
	silence       = 10 * time.Minute
	silenceIfNear = 3 * time.Minute // if the guest arrives within the hour, or is in the house
)

// reportSilence gives a key for which something is left to do a reason, if Seam has given no usable answer for a while:
// calls were lost or rate limited, or answers contradict each other. failed is true if this attempt was one of those.
// Attempts that only wait say nothing about it, and one that has changed something at Seam before it failed ends it.
//
// A key that is being removed keeps its status: whatever takes a key away from its guest goes by that, and so does the
// alert for removals that take too long.
func (e *ending) reportSilence(v *store.KeyVerdict, failed bool) {
	since, reported := e.key.FailingSince, stay.Text(e.key.Reason) == stay.ReasonNoAnswer
	v.Failures = e.key.Failures
	if e.gotFurther(failed) {
		since, reported, v.Failures = nil, false, 0
	}
	v.FailingSince = since
	if failed {
		v.Failures++
		if since == nil {
			v.FailingSince = &e.now
		}
	}
	switch v.Status {
	case stay.KeyProvisioning, stay.KeyRevoking, stay.KeyExpired:
	default:
		return
	}
	isLong := since != nil && e.now.Sub(*since) >= e.pacing.silence()
	if !reported && !(failed && isLong && v.Failures >= silentTries) {
		return
	}
	v.Reason, v.Message = stay.ReasonNoAnswer, stay.Message(stay.ReasonNoAnswer)
	if v.Status == stay.KeyProvisioning {
		v.Status = stay.KeyAttention
	}
}

// limitedFor is how long to wait after Seam has limited the rate: as long as it asks for, and longer each time, as it
// may limit only this reservation's calls, which must not slow down all others. But a person must be notified in time,
// and the pause may end earlier: what was never sent is tried again sooner than what Seam has answered.
func (e *ending) limitedFor(api *seam.Error) time.Duration {
	in, most := max(api.RetryAfter, minPause), e.pacing.silence()/4
	if api.Status != 0 {
		in, most = max(in, e.pacing.backoff(int(e.key.Failures))), e.pacing.silence()/2
	}
	if e.pacing.isUrgent() {
		most = seam.ProbeEvery
	}
	return min(in, most)
}

// gotFurther reports whether Seam has accepted a change of this attempt. If the attempt has failed, its last change may
// be what failed.
func (e *ending) gotFurther(failed bool) bool {
	if failed {
		return e.changes > 1
	}
	return e.changes > 0
}

// silence is how long Seam may give no usable answer before a person is notified.
func (p *pacing) silence() time.Duration {
	if p.isUrgent() && p.untilCheckIn() < time.Hour {
		return silenceIfNear
	}
	return silence
}
