package provisioner

import (
	"context"
	"hash/maphash"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/seam"
)

// owners reads who each user identity belongs to, by its e-mail address. If Seam doesn't list it, or leaves the
// address out, that is unknown; one that others were merged into belongs to several people.
func (p *Provisioner) owners(ctx context.Context, seed maphash.Seed) map[uint64]uint64 {
	owners := map[uint64]uint64{}
	err := p.seam.EachUserIdentity(ctx, func(page []seam.UserIdentity) error {
		for _, i := range page {
			if i.EmailAddress != "" && len(i.MergedKeys) == 0 {
				owners[hashOf(seed, i.UserIdentityID)] = hashOf(seed, p.guestKey(pms.GuestAddress(i.EmailAddress)))
			}
		}
		return nil
	})
	if err != nil {
		p.log.Warn("user identities not listed; this sweep doesn't check their e-mail addresses", "error", err)
		return nil
	}
	return owners
}

// read reads everything that Seam lists of the system.
func (s *systemSweep) read(ctx context.Context) error {
	err := s.seam.EachACSUser(ctx, s.systemID, func(page []seam.ACSUser) error {
		for _, u := range page {
			id := s.hash(u.ACSUserID)
			// Some answers ignore a filter, and pages of a list that changes in the meantime may overlap.
			if _, again := s.users[id]; again || u.ACSSystemID != s.systemID || isGone(u) {
				continue
			}
			d := digest{suspended: u.IsSuspended != nil && *u.IsSuspended, problem: len(u.Errors) > 0}
			if u.UserIdentityID != "" {
				d.identity = s.hash(u.UserIdentityID)
				s.linked++
			}
			if u.AccessSchedule != nil {
				d.starts, d.ends = millis(seam.ParseTime(u.AccessSchedule.StartsAt)), millis(seam.ParseTime(u.AccessSchedule.EndsAt))
			}
			s.users[id] = d
			s.places[s.hash(u.UserIdentityID, strings.TrimSpace(u.FullName))]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = s.seam.EachMobileKey(ctx, s.systemID, func(page []seam.Credential) error {
		for _, c := range page {
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
		s.log.Warn("members of access groups not listed; reading user by user", "acs_system_id", s.systemID, "error", err)
		s.byUser = true
	}
	return nil
}
