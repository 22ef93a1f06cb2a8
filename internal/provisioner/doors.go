package provisioner

import (
	"context"

	"github.com/staykey/staykey/internal/pms"
)

// mayOpen returns a function that reports whether keys of a source may open an access group. It is asked where the
// desired state is worked out, no matter whether a PMS, an import or an admin named the group.
func (p *Provisioner) mayOpen(policy pms.Policy, source string, owners map[string]string) func(group,
	system string) bool {
	return func(group, system string) bool {
		owner := owners[group]
		if owner == source || (owner != "" && p.options.Configured != nil && !p.options.Configured(owner)) {
			owner = ""
		}
		return policy.MayOpen(group, system, owner)
	}
}

// claimGroups makes the reservation's source the owner of those of the listing's groups that nobody has used before.
// Saving a listing does this; an older version, which may run at the same time, doesn't.
func (a *attempt) claimGroups(ctx context.Context) error {
	l := a.work.Listing
	if l == nil || l.Deleted || a.preview || !a.policy.OwnGroups {
		return nil
	}
	for _, group := range l.Groups() {
		if _, owned := a.work.GroupOwners[group]; !owned {
			owners, err := a.store.ClaimGroups(ctx, a.work.Reservation.Source, l.Groups(), a.now())
			if err == nil {
				a.work.GroupOwners = owners
			}
			return err
		}
	}
	return nil
}

// NotAllowed returns the access groups that keys of a source may not open.
func (p *Provisioner) NotAllowed(ctx context.Context, source string, groups []string) ([]string, error) {
	policy := p.options.Policy(source)
	if !policy.OwnGroups && len(policy.AccessGroups)+len(policy.AccessSystems) == 0 {
		return nil, nil
	}
	owners, err := p.store.GroupOwners(ctx, groups)
	if err != nil {
		return nil, err
	}
	may := p.mayOpen(policy, source, owners)
	var denied []string
	for _, group := range groups {
		if system, _ := p.directory.system(group); !may(group, system) {
			denied = append(denied, group)
		}
	}
	return denied, nil
}
