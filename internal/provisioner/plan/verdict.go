package plan

import (
	"strings"
	"time"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/stay"
)

// Pace is how soon a key is looked at again when nothing changes.
type Pace int

// The paces. What they mean in minutes depends on how soon the guest arrives.
const (
	PaceNone      Pace = iota // only when the stay begins or ends
	PaceSettling              // something is pending at Seam
	PaceProblem               // Seam reports an error that may pass
	PaceSubscribe             // the stay has begun, and Salto KS subscribes the user within moments
	PaceSlow                  // a person must correct something that Seam sends no event about
	PaceDaily                 // nothing is wrong, and nothing is expected
)

// State is what the judgement of a key that should exist depends on.
type State struct {
	Desired Desired      // what should exist
	User    *record.User // the one that serves the stay, if it exists
	Now     time.Time    // when it is judged
}

// Judgement is a status with its reason, and how soon to look again.
type Judgement struct {
	Status  string // of the mobile key
	Reason  string // "" for none
	Message string // for people; "" for none
	Pace    Pace   // how soon to look again
}

// SubscribeWithin is how long after check-in Seam may take to subscribe a user before a person should know.
const SubscribeWithin = 15 * time.Minute

// judgements are asked in order; the first that returns something wins. To add one, add a line.
var judgements = []func(State) *Judgement{
	noKey,
	removedAtSeam,
	suspendedAtSeam,
	userInTrouble,
	keyInTrouble,
	notKept,
	drifted,
	blocked,
	notSettled,
	doorsNotRead,
	active,
	notSubscribed,
	begun,
}

// Judge returns the status of a key that should exist, when nothing is left to do now.
func Judge(s State) Judgement {
	for _, judge := range judgements {
		if j := judge(s); j != nil {
			return *j
		}
	}
	return Judgement{Status: stay.KeyIssued}
}

func needsPerson(pace Pace, reason string, details ...any) *Judgement {
	return &Judgement{stay.KeyAttention, reason, stay.Message(reason, details...), pace}
}

func noKey(s State) *Judgement {
	if s.User != nil {
		return nil
	}
	b := s.Desired.Blocked
	if b == nil {
		return &Judgement{Status: stay.KeyProvisioning, Pace: PaceSettling}
	}
	j := &Judgement{b.Status, b.Reason, b.Message, PaceDaily}
	if r, _ := stay.Find(b.Reason); b.Status == stay.KeyAttention || r.Retry == stay.RetryMinutes {
		j.Pace = PaceSlow
	}
	return j
}

func removedAtSeam(s State) *Judgement {
	if s.User.Phase() != record.Removed {
		return nil
	}
	return needsPerson(PaceNone, stay.ReasonRemovedAtSeam)
}

func suspendedAtSeam(s State) *Judgement {
	if s.User.SuspendedAt == nil {
		return nil
	}
	return needsPerson(PaceNone, stay.ReasonSuspendedAtSeam)
}

func userInTrouble(s State) *Judgement {
	if s.User.Problem == nil {
		return nil
	}
	return UserProblem(*s.User.Problem)
}

// SubscriptionLimit is Seam's error on an ACS user for whom no subscription is left at the Salto KS site.
const SubscriptionLimit = "salto_ks_subscription_limit_exceeded"

// NotDeleted is Seam's error on an ACS user that the access system has not removed.
const NotDeleted = "failed_to_delete_on_acs_system"

// UserProblem turns an error that Seam reports on an ACS user into a reason and what to do.
func UserProblem(code string) *Judgement {
	switch code {
	case SubscriptionLimit:
		return needsPerson(PaceProblem, stay.ReasonSubscriptionLimit)
	case "failed_to_create_on_acs_system", "failed_to_update_on_acs_system", NotDeleted:
		return needsPerson(PaceProblem, stay.ReasonRejectedByAccessSys, code)
	default:
		return needsPerson(PaceProblem, stay.ReasonSeamReportsError, code, "ACS user")
	}
}

func keyInTrouble(s State) *Judgement {
	if s.User.CredentialProblem == nil {
		return nil
	}
	return KeyProblem(*s.User.CredentialProblem)
}

// KeyProblem is [UserProblem] for an error on the mobile key.
func KeyProblem(code string) *Judgement {
	return needsPerson(PaceProblem, stay.ReasonSeamReportsError, code, "mobile key")
}

func notKept(s State) *Judgement {
	if s.User.Drift == nil || s.User.Unkept < record.MaxUnkept {
		return nil
	}
	return needsPerson(PaceSlow, stay.ReasonNotKept, *s.User.Drift)
}

// GivenAway is the difference that an admin's reconcile doesn't undo: it replaces the key.
const GivenAway = "the key's user identity has another e-mail address than the guest's, so the key may be in somebody else's app"

func drifted(s State) *Judgement {
	if s.User.Drift == nil {
		return nil
	}
	todo := stay.UndoChange
	if strings.Contains(*s.User.Drift, GivenAway) {
		todo = stay.ReplaceKey
	}
	return needsPerson(PaceNone, stay.ReasonDrifted, *s.User.Drift, todo)
}

func blocked(s State) *Judgement {
	b := s.Desired.Blocked
	if b == nil {
		return nil
	}
	j := &Judgement{b.StatusWithKey, b.Reason, b.Message, PaceDaily}
	if r, _ := stay.Find(b.Reason); r.Retry == stay.RetryMinutes {
		j.Pace = PaceSlow
	}
	return j
}

func notSettled(s State) *Judgement {
	if s.User.Settled {
		return nil
	}
	return &Judgement{
		stay.KeyProvisioning, "", "Seam has not pushed everything to the access system yet.",
		PaceSettling,
	}
}

func doorsNotRead(s State) *Judgement {
	if s.User.DoorsRead && s.User.KeyPhase() == record.KeyMade && s.User.Phase() == record.Made {
		return nil
	}
	return &Judgement{stay.KeyProvisioning, "", "Seam does not show everything that was created yet.", PaceSettling}
}

func (s State) hasBegun() bool { return !s.Now.Before(s.Desired.Starts) }

func active(s State) *Judgement {
	if !s.hasBegun() || !s.User.Subscribed {
		return nil
	}
	return &Judgement{Status: stay.KeyActive}
}

func notSubscribed(s State) *Judgement {
	since := s.Now.Add(-SubscribeWithin)
	if !s.hasBegun() || s.Desired.Starts.After(since) || s.User.MadeAt.After(since) {
		return nil
	}
	return needsPerson(PaceProblem, stay.ReasonNotSubscribed)
}

func begun(s State) *Judgement {
	if !s.hasBegun() {
		return nil
	}
	return &Judgement{Status: stay.KeyIssued, Pace: PaceSubscribe}
}
