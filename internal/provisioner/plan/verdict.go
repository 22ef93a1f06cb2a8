package plan

import (
	"strings"
	"time"

	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
)

// NextLook is how soon a key is looked at again when nothing changes.
type NextLook int

// When a key is looked at again. What the words mean in minutes depends on how soon the guest arrives.
const (
	LookNone      NextLook = iota // only when the stay begins or ends
	LookSettling                  // something is pending at Seam
	LookProblem                   // Seam reports an error that may pass
	LookSubscribe                 // the stay has begun, and Salto KS subscribes the user within moments
	LookSlow                      // a person must correct something that Seam sends no event about
	LookDaily                     // nothing is wrong, and nothing is expected
)

// State is what the verdict on a key that should exist depends on.
type State struct {
	Desired Desired      // what should exist
	User    *record.User // the one that serves the stay, if it exists
	Now     time.Time    // when it is judged
}

// Verdict is a status with its reason, and how soon to look again.
type Verdict struct {
	Status  string   // of the mobile key
	Reason  string   // "" for none
	Message string   // for people; "" for none
	Next    NextLook // how soon to look again
}

// SubscribeWithin is how long after check-in Seam may take to subscribe a user before a person should know.
const SubscribeWithin = 15 * time.Minute

// verdicts are asked in order; the first that returns something wins. To add one, add a line.
var verdicts = []func(State) *Verdict{
	noKey,
	removedAtSeam,
	suspendedAtSeam,
	userInTrouble,
	keyInTrouble,
	notKept,
	drifted,
	blocked,
	notSettled,
	groupsNotRead,
	active,
	notSubscribed,
	begun,
}

// Judge returns the status of a key that should exist, when nothing is left to do now.
func Judge(s State) Verdict {
	for _, judge := range verdicts {
		if v := judge(s); v != nil {
			return *v
		}
	}
	return Verdict{Status: stay.KeyIssued}
}

func needsPerson(next NextLook, reason string, details ...any) *Verdict {
	return &Verdict{stay.KeyAttention, reason, stay.Message(reason, details...), next}
}

func noKey(s State) *Verdict {
	if s.User != nil {
		return nil
	}
	b := s.Desired.Blocked
	if b == nil {
		return &Verdict{Status: stay.KeyProvisioning, Next: LookSettling}
	}
	v := &Verdict{b.Status, b.Reason, b.Message, LookDaily}
	if r, _ := stay.Find(b.Reason); b.Status == stay.KeyAttention || r.Retry == stay.RetryMinutes {
		v.Next = LookSlow
	}
	return v
}

func removedAtSeam(s State) *Verdict {
	if !s.User.IsOut() {
		return nil
	}
	v := needsPerson(LookNone, stay.ReasonRemovedAtSeam)
	if s.User.Phase() == record.Displaced {
		v.Message = stay.Displaced
	}
	return v
}

func suspendedAtSeam(s State) *Verdict {
	if s.User.SuspendedAt == nil {
		return nil
	}
	return needsPerson(LookNone, stay.ReasonSuspendedAtSeam)
}

func userInTrouble(s State) *Verdict {
	if s.User.Problem == nil {
		return nil
	}
	return UserProblem(*s.User.Problem)
}

// SubscriptionLimit is Seam's error on an ACS user for whom no subscription is left at the Salto KS site.
const SubscriptionLimit = "salto_ks_subscription_limit_exceeded"

// UserProblem turns an error that Seam reports on an ACS user into a reason and what to do; never nil.
func UserProblem(code string) *Verdict {
	switch code {
	case SubscriptionLimit:
		return needsPerson(LookProblem, stay.ReasonSubscriptionLimit)
	case "failed_to_create_on_acs_system", "failed_to_update_on_acs_system", seam.NotDeleted:
		return needsPerson(LookProblem, stay.ReasonRejectedByAccessSys, code)
	default:
		return needsPerson(LookProblem, stay.ReasonSeamReportsError, code, "ACS user")
	}
}

func keyInTrouble(s State) *Verdict {
	if s.User.CredentialProblem == nil {
		return nil
	}
	return KeyProblem(*s.User.CredentialProblem)
}

// KeyProblem is [UserProblem] for an error on the mobile key; never nil.
func KeyProblem(code string) *Verdict {
	return needsPerson(LookProblem, stay.ReasonSeamReportsError, code, "mobile key")
}

func notKept(s State) *Verdict {
	if s.User.Drift == nil || !s.User.HasUnkept() {
		return nil
	}
	return needsPerson(LookSlow, stay.ReasonNotKept, *s.User.Drift)
}

// GivenAway is the difference that an admin's reconcile doesn't undo: it replaces the key.
const GivenAway = "the key's user identity has another e-mail address than the guest's, so the key may be in somebody else's app"

func drifted(s State) *Verdict {
	if s.User.Drift == nil {
		return nil
	}
	todo := stay.UndoChange
	if strings.Contains(*s.User.Drift, GivenAway) {
		todo = stay.ReplaceKey
	}
	return needsPerson(LookNone, stay.ReasonDrifted, *s.User.Drift, todo)
}

func blocked(s State) *Verdict {
	b := s.Desired.Blocked
	if b == nil {
		return nil
	}
	v := &Verdict{b.StatusWithKey, b.Reason, b.Message, LookDaily}
	if r, _ := stay.Find(b.Reason); r.Retry == stay.RetryMinutes {
		v.Next = LookSlow
	}
	return v
}

func notSettled(s State) *Verdict {
	if s.User.Settled {
		return nil
	}
	return &Verdict{
		stay.KeyProvisioning, "", "Seam has not pushed everything to the access system yet.",
		LookSettling,
	}
}

func groupsNotRead(s State) *Verdict {
	if s.User.GroupsRead && s.User.KeyPhase() == record.KeyMade && s.User.Phase() == record.Made {
		return nil
	}
	return &Verdict{stay.KeyProvisioning, "", "Seam does not show everything that was created yet.", LookSettling}
}

func (s State) hasBegun() bool { return !s.Now.Before(s.Desired.Starts) }

func active(s State) *Verdict {
	if !s.hasBegun() || !s.User.Subscribed {
		return nil
	}
	return &Verdict{Status: stay.KeyActive}
}

func notSubscribed(s State) *Verdict {
	since := s.Now.Add(-SubscribeWithin)
	if !s.hasBegun() || s.Desired.Starts.After(since) || s.User.MadeAt.After(since) {
		return nil
	}
	return needsPerson(LookProblem, stay.ReasonNotSubscribed)
}

func begun(s State) *Verdict {
	if !s.hasBegun() {
		return nil
	}
	return &Verdict{Status: stay.KeyIssued, Next: LookSubscribe}
}
