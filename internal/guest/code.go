package guest

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	OpensAt time.Time // it opens nothing before
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
	state, source, _, err := s.find(ctx, id)
	if err != nil {
		return Code{}, Page{Operator: source.GuestPage}, err
	}
	page := s.page(state, source)
	now := s.now()
	if wait := limited(state.Recent, now); wait > 0 {
		return Code{}, page, &LimitError{After: wait}
	}
	if len(state.ClosedGates) == 0 && !s.opensNow(state, now) {
		return Code{}, page, ErrNoCode
	}
	code, err := s.codeOf(ctx, state)
	if err != nil {
		return Code{}, page, err
	}
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
	code, err := s.codeOf(ctx, state)
	count(byCodeRequest, err)
	return code, err
}

// codeOf judges a stay for its code, and reads the digits.
func (s *Service) codeOf(ctx context.Context, state store.GuestState) (Code, error) {
	if err := s.mayHaveCode(state); err != nil {
		return Code{}, err
	}
	digits, err := s.digits(ctx, state)
	if err != nil {
		return Code{}, err
	}
	// While Seam was asked, somebody may have taken the key away.
	if state, err = s.store.GuestStays.State(ctx, state.Ref); err != nil {
		return Code{}, err
	}
	if err := s.mayHaveCode(state); err != nil {
		return Code{}, err
	}
	return Code{Digits: digits, OpensAt: *state.StartsAt, OpensTo: *state.EndsAt}, nil
}

// mayHaveCode judges a stay for its code. The state of the mobile key matters only as far as the code needs the same:
// an ACS user of this guest, and open gates.
func (s *Service) mayHaveCode(state store.GuestState) error {
	ended := []string{stay.KeyRevoking, stay.KeyRevoked, stay.KeyExpired}
	switch {
	case isGone(state, s.now()) || slices.Contains(ended, state.KeyStatus) || !s.wantsKey(state):
		return ErrGone
	case len(state.ClosedGates) > 0:
		return &NotReadyError{Page: s.page(state, s.options.Source(state.Source))}
	case state.CodeID == nil || state.StartsAt == nil || state.EndsAt == nil,
		stay.Text(state.KeyGuest) != s.guestKey(state.GuestEmail):
		return ErrNoCode
	}
	return nil
}

// opensNow reports whether a stay's doors open now, and should. A stay that was moved may still have its earlier hours
// at Seam.
func (s *Service) opensNow(state store.GuestState, now time.Time) bool {
	before, after := s.grace(state)
	if starts, _ := state.Hours(before, after); now.Before(starts) {
		return false
	}
	return state.StartsAt != nil && !now.Before(*state.StartsAt) && state.EndsAt != nil && now.Before(*state.EndsAt)
}

// offersCode reports whether a guest's page offers the code: as far as is known it opens doors now.
func (s *Service) offersCode(state store.GuestState) bool {
	return s.opensNow(state, s.now()) && codeKnown(state) && s.mayHaveCode(state) == nil
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
