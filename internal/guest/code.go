package guest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/stay"
	"github.com/staykey/staykey/internal/store"
)

// Backup codes: the PIN of a stay, for a guest whose phone doesn't open the door. The digits are read from Seam when
// they are asked for, so that they are the present ones; while Seam doesn't answer, those that were last seen are
// given. Nothing is created.

// ErrNoCode means that a stay has no backup code that opens doors now.
var ErrNoCode = errors.New("there is no backup code for this stay now")

// askForCode is how long Seam has to answer before the digits that were last seen are given: somebody waits at a door.
const askForCode = 4 * time.Second

// Code is a stay's backup code.
type Code struct {
	Digits  string
	OpensAt time.Time // when it opens doors, within the hours of the stay
	OpensTo time.Time
}

// ShowCode returns the backup code of a link's stay, while its doors open to it. Errors: [ErrUnknown], [ErrGone],
// [NotReadyError], [ErrNoCode], [LimitError], [ErrUnavailable].
func (s *Service) ShowCode(ctx context.Context, id string) (Code, Page, error) {
	code, page, err := s.showCode(ctx, id)
	count(byCode, err)
	return code, page, err
}

func (s *Service) showCode(ctx context.Context, id string) (Code, Page, error) {
	state, source, counter, err := s.find(ctx, id)
	if err != nil {
		return Code{}, Page{Operator: source.GuestPage}, err
	}
	if wait := limited(state.Recent, s.now()); wait > 0 {
		return Code{}, s.page(state, source), &LimitError{After: wait}
	}
	code, state, err := s.codeOf(ctx, state, func(now store.GuestState) error { return s.mayShowCode(now, counter) })
	if errors.Is(err, ErrGone) || errors.Is(err, store.ErrNotFound) { // the stay may be another guest's
		return Code{}, Page{Operator: source.GuestPage}, ErrGone
	}
	page := s.page(state, source)
	if err != nil {
		return Code{}, page, err
	}
	now := s.now()
	return code, page, s.store.BackupCodes.NoteShown(ctx, state.Ref, used(state.Recent, now), store.Entry{
		Ref: state.Ref, At: now, Kind: stay.TimelineStep, Summary: "The backup code was shown to the guest",
		Detail: map[string]any{"acs_credential_id": stay.Text(state.CodeID)},
	})
}

// BackupCode returns the backup code of a stay for a program that may have it, also before the stay begins. Errors:
// [ErrGone], [NotReadyError], [ErrNoCode], [ErrUnavailable], [store.ErrNotFound].
func (s *Service) BackupCode(ctx context.Context, ref stay.Ref) (Code, error) {
	state, err := s.store.GuestStays.State(ctx, ref)
	if err != nil {
		return Code{}, err
	}
	code, _, err := s.codeOf(ctx, state, s.mayHaveCode)
	count(byCodeRequest, err)
	return code, err
}

// codeOf reads the digits of a stay's code. The stay is judged before, and again after Seam has answered: meanwhile
// somebody may have taken the key away, renewed the link, replaced the code, or moved the stay. It returns the state
// that was judged last, or [store.ErrNotFound] if the reservation was erased meanwhile.
func (s *Service) codeOf(
	ctx context.Context, asked store.GuestState, judge func(store.GuestState) error,
) (Code, store.GuestState, error) {
	state := asked
	if err := judge(state); err != nil {
		return Code{}, state, err
	}
	digits, err := s.digits(ctx, state)
	if err != nil {
		return Code{}, state, err
	}
	if state, err = s.store.GuestStays.State(ctx, state.Ref); err != nil {
		return Code{}, asked, err
	}
	if err := judge(state); err != nil {
		return Code{}, state, err
	}
	if *state.CodeID != *asked.CodeID || stay.Text(state.KeyGuest) != stay.Text(asked.KeyGuest) {
		return Code{}, state, ErrNoCode // the digits are those of the code before
	}
	from, to := s.codeHours(state)
	return Code{Digits: digits, OpensAt: from, OpensTo: to}, state, nil
}

// mayShowCode judges a stay for the page of one of its links.
func (s *Service) mayShowCode(state store.GuestState, counter int32) error {
	if !s.linkHolds(state, counter) {
		return ErrGone
	}
	if err := s.mayHaveCode(state); err != nil {
		return err
	}
	if !s.opensNow(state, s.now()) {
		return ErrNoCode
	}
	return nil
}

// mayHaveCode judges a stay for its code. The state of the mobile key matters only as far as the code needs the same:
// an ACS user of this guest, and open gates.
func (s *Service) mayHaveCode(state store.GuestState) error {
	switch {
	case isGone(state, s.now()) || state.KeyStatus == stay.KeyRevoked || state.KeyStatus == stay.KeyExpired:
		return ErrGone
	case len(state.ClosedGates) > 0 && !state.Revoked: // also where one takes the key away: it may open again
		return &NotReadyError{Page: s.page(state, s.options.Source(state.Source))}
	case !s.wantsKey(state) || state.KeyStatus == stay.KeyRevoking:
		return ErrGone
	case state.OpensOthers(): // somebody else's, perhaps
		return ErrNoCode
	case state.CodeID == nil || state.StartsAt == nil || state.EndsAt == nil,
		stay.Text(state.KeyGuest) != s.guestKey(state.GuestEmail):
		return ErrNoCode
	}
	if from, to := s.codeHours(state); !from.Before(to) {
		return ErrNoCode
	}
	return nil
}

// codeHours returns when a stay's code opens its doors, and should: the hours that Seam and the stay have in common. A
// stay that was moved may still have its earlier hours at Seam. Without any, from is not before to.
func (s *Service) codeHours(state store.GuestState) (from, to time.Time) {
	from, to = *state.StartsAt, *state.EndsAt
	starts, ends := state.Hours(s.grace(state))
	if starts.After(from) {
		from = starts
	}
	if !ends.IsZero() && ends.Before(to) {
		to = ends
	}
	return from, to
}

// opensNow reports whether the doors of a stay that may have its code open now, and should.
func (s *Service) opensNow(state store.GuestState, now time.Time) bool {
	from, to := s.codeHours(state)
	return !now.Before(from) && now.Before(to)
}

// offersCode reports whether a guest's page offers the code: as far as is known it opens doors now. Gates come first:
// mayHaveCode describes closed ones by the page, which asks this.
func (s *Service) offersCode(state store.GuestState) bool {
	return len(state.ClosedGates) == 0 && codeKnown(state) && s.mayHaveCode(state) == nil && s.opensNow(state, s.now())
}

// codeKnown reports whether a stay has a code that is issued, without an error.
func codeKnown(state store.GuestState) bool {
	return state.CodeID != nil && state.SealedCode != nil && !state.CodeWaiting && state.CodeProblem == nil
}

// digits reads the code from Seam. If Seam doesn't answer in time, the digits that were last seen are good, because
// Salto changes them only when somebody asks for that.
func (s *Service) digits(ctx context.Context, state store.GuestState) (string, error) {
	id := *state.CodeID
	known, readable := s.sealer.Open(state.SealedCode, id)
	asking, cancel := context.WithTimeout(seam.Urgent(ctx), askForCode)
	defer cancel()
	got, err := s.seam.Credential(asking, id)
	switch {
	case err == nil && (got.Waits() || got.BeingDeleted() || got.Problem() != nil):
		return "", ErrNoCode
	case err == nil && got.Code != "":
		if got.Code != known {
			s.lookAtCode(ctx, id)
		}
		return got.Code, nil
	case seam.KindOf(err) == seam.NotFound:
		s.lookAtCode(ctx, id)
		return "", ErrNoCode
	case readable && codeKnown(state):
		return known, nil
	case err == nil:
		return "", ErrNoCode
	}
	return "", errors.Join(ErrUnavailable, fmt.Errorf("backup code not read: Seam answers %s", seam.KindOf(err)))
}

// lookAtCode has the provisioner record what Seam shows. If that fails, the sweep finds the difference.
func (s *Service) lookAtCode(ctx context.Context, id string) {
	if _, err := s.store.BackupCodes.LookAt(context.WithoutCancel(ctx), id, true, s.now()); err != nil {
		s.log.Warn("backup code check not scheduled; the next sweep will check it", "error", err)
	}
}
