package provisioner

import (
	"context"
	"hash/maphash"
	"maps"
	"math"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// listedIdentities is what a sweep knows of the user identities at Seam, by the hashes of their ids.
type listedIdentities struct {
	// the hash of the key that a guest with the identity's e-mail address would have; nil: not known
	owners map[uint64]uint64
	// those that this database's salt made, and that it doesn't know (see [Provisioner.knownHere]); nil: not known
	unknown map[uint64]struct{}
}

// listIdentities reads who each user identity belongs to, by its e-mail address. If Seam doesn't list it, or leaves the
// address out, that is unknown; one that others were merged into belongs to several people.
func (w *sweeper) listIdentities(ctx context.Context, seed maphash.Seed) listedIdentities {
	known := map[uint64]struct{}{}
	if err := w.store.UserIdentities.EachID(ctx, func(id string) { known[hashOf(seed, id)] = struct{}{} }); err != nil {
		w.log.Warn("user identities not read; keeping the last sweep's result about them", "error", err)
		known = nil
	}

	found := listedIdentities{owners: map[uint64]uint64{}}
	if known != nil {
		found.unknown = map[uint64]struct{}{}
	}

	err := w.seam.EachUserIdentity(ctx, func(page []seam.UserIdentity) error {
		for _, i := range page {
			if i.EmailAddress == "" || len(i.MergedKeys) > 0 {
				continue
			}
			id, key := hashOf(seed, i.UserIdentityID), w.keys.guest(pms.GuestAddress(i.EmailAddress))
			found.owners[id] = hashOf(seed, key)
			if _, here := known[id]; found.unknown != nil && !here && i.Key == key && !w.mayBeForgotten(i) {
				found.unknown[id] = struct{}{}
			}
		}
		return nil
	})
	if err != nil {
		w.log.Warn("user identities not listed; this sweep doesn't check their e-mail addresses", "error", err)
		return listedIdentities{}
	}
	return found
}

// mayBeForgotten reports whether retention may have forgotten a user identity that is still at Seam, where somebody
// else may use it. No backup that is worth restoring is as old.
func (w *sweeper) mayBeForgotten(i seam.UserIdentity) bool {
	created := seam.ParseTime(i.CreatedAt)
	return !created.IsZero() && w.now().Sub(created) > store.IdentitiesKept
}

// knownHere returns which of the suspects this database does know after all. A suspect is the hash of the user identity
// of an ACS user that this installation made, because the identity has a key that only its salt makes, and that was
// not in the database when the sweep began. A create whose answer was lost is no suspect: its identity is in the
// database before it is sent. So if one is still not known, either the database was restored from an older backup, or
// another copy of it works on the same workspace.
func (w *sweeper) knownHere(ctx context.Context, seed maphash.Seed, suspects []uint64) (map[uint64]bool, error) {
	if len(suspects) == 0 {
		return nil, nil
	}

	keys := map[string]uint64{}
	err := w.seam.EachUserIdentity(ctx, func(page []seam.UserIdentity) error {
		for _, i := range page {
			if id := hashOf(seed, i.UserIdentityID); slices.Contains(suspects, id) {
				keys[i.Key] = id
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}

	list, err := w.store.UserIdentities.Known(ctx, slices.Collect(maps.Keys(keys)))
	if err != nil {
		return nil, err
	}

	known := map[uint64]bool{}
	for _, key := range list {
		known[keys[key]] = true
	}
	return known, nil
}

// read reads everything that Seam lists of the system.
func (s *systemSweep) read(ctx context.Context) error {
	err := s.seam.EachACSUser(ctx, s.systemID, func(page []seam.ACSUser) error {
		for _, u := range page {
			s.noteUser(u)
		}
		return nil
	})
	if err != nil {
		return err
	}

	s.listed = true
	if s.hasCodes, err = s.store.BackupCodes.Exist(ctx, s.systemID); err != nil {
		return err
	}

	credentials := s.seam.EachMobileKey
	if s.hasCodes {
		credentials = s.seam.EachCredential
	}

	err = credentials(ctx, s.systemID, func(page []seam.Credential) error {
		for _, c := range page {
			if c.IsCode() {
				s.noteCode(c)
				continue
			}
			id := s.hash(c.ACSUserID)
			s.noKeys = s.noKeys || c.ACSUserID == ""
			if d, ok := s.users[id]; ok && c.IsMobileKey() {
				d.keys++
				d.key += s.hash(c.ACSCredentialID)
				d.keyProblem = d.keyProblem || len(c.Errors) > 0
				s.users[id] = d
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.readGroups(ctx)
}

func (s *systemSweep) noteUser(u seam.ACSUser) {
	id := s.hash(u.ACSUserID)
	// Some answers ignore a filter, and pages of a list that changes in the meantime may overlap.
	if _, again := s.users[id]; again || u.ACSSystemID != s.systemID || isGone(u) {
		return
	}

	d := digest{suspended: u.IsSuspended != nil && *u.IsSuspended, problem: len(u.Errors) > 0}
	if name := letters(u.FullName); name != "" {
		d.name, d.letters = s.hash(name), uint32(min(len(name), math.MaxUint32)) // #nosec G115 -- bounded
	}
	if u.UserIdentityID != "" {
		d.identity = s.hash(u.UserIdentityID)
		s.linked++
		if _, unknown := s.listedIdentities.unknown[d.identity]; unknown {
			s.suspects = append(s.suspects, d.identity)
		}
	}
	if u.AccessSchedule != nil {
		d.starts, d.ends = millis(seam.ParseTime(u.AccessSchedule.StartsAt)),
			millis(seam.ParseTime(u.AccessSchedule.EndsAt))
	}
	s.users[id] = d
	s.slots[s.hash(u.UserIdentityID, strings.TrimSpace(u.FullName))]++
}

// readGroups reads who is in which access group: group by group, or, if that is more calls or Seam has no such list,
// user by user during the comparison.
func (s *systemSweep) readGroups(ctx context.Context) error {
	groups, err := s.seam.AccessGroupsOf(ctx, s.systemID)
	if err != nil {
		return err
	}
	groups = slices.DeleteFunc(groups, func(g seam.AccessGroup) bool { return g.ACSSystemID != s.systemID })
	if s.byUser = len(groups) > s.recorded; s.byUser {
		return nil
	}

	reads, ctx := errgroup.WithContext(ctx)
	reads.SetLimit(groupReads)
	for _, g := range groups {
		reads.Go(func() error {
			members, err := s.seam.Members(ctx, g.ACSAccessGroupID)
			if err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			for _, u := range members {
				id := s.hash(u.ACSUserID)
				if d, ok := s.users[id]; ok {
					d.groups += s.hash(g.ACSAccessGroupID)
					s.users[id] = d
				}
			}
			return nil
		})
	}

	if err := reads.Wait(); err != nil {
		s.log.Warn("members of access groups not listed; reading user by user", "acs_system_id",
			s.systemID, "error", err)
		s.byUser = true
	}
	return nil
}
