// Package rows converts between the rows of the database and the records of package record, which doesn't depend on the
// database. Each pair of functions loses nothing: what one of them makes of a row, the other turns back into the same
// row.
package rows

import (
	"github.com/staykey/staykey/internal/provisioner/record"
	"github.com/staykey/staykey/internal/store"
)

// User is the record of an ACS user's row, as it was loaded.
func User(row store.ACSUser) record.User {
	return record.Of(record.Row{
		Slot: record.Slot{
			ID: row.ID, Source: row.Source, ReservationID: row.ReservationID, ACSSystemID: row.ACSSystemID,
			UserIdentityKey: row.UserIdentityKey, UserIdentityID: row.UserIdentityID, GuestKey: row.GuestKey,
		},
		Life: record.Life{
			MarkedAt: row.MarkedAt, LostAt: row.LostAt, ACSUserID: row.ACSUserID, MadeAt: row.MadeAt,
			Unsure: row.Unsure, UnsureGeneration: row.UnsureGeneration, ChangedAt: row.ChangedAt,
			MissingAt: row.MissingAt, RemovedAt: row.RemovedAt, ContestedAt: row.ContestedAt,
			DeletedAt: row.DeletedAt, DeleteLostAt: row.DeleteLostAt, DeletesInVain: row.DeletesInVain,
		},
		Schedule: record.Schedule{StartsAt: row.StartsAt, EndsAt: row.EndsAt},
		Groups:   record.Groups{AccessGroupIDs: row.AccessGroupIDs, GroupsRead: row.GroupsRead},
		Key: record.Key{
			CredentialID: row.CredentialID, CredentialMarkedAt: row.CredentialMarkedAt,
			CredentialLostAt: row.CredentialLostAt, CredentialMissingAt: row.CredentialMissingAt,
			CredentialProblem: row.CredentialProblem,
		},
		Report: record.Report{
			Settled: row.Settled, Subscribed: row.Subscribed, Problem: row.Problem, SuspendedAt: row.SuspendedAt,
		},
		Repairs: record.Repairs{Drift: row.Drift, Unkept: row.Unkept, UnkeptBy: row.UnkeptBy},
		Requests: record.Requests{
			RevivedGeneration: row.RevivedGeneration, RepairedGeneration: row.RepairedGeneration,
		},
		Leftovers: record.Leftovers{
			Surplus: converted(row.Surplus, func(s store.SurplusUser) record.SurplusUser {
				return record.SurplusUser(s)
			}),
			Others: row.Others,
		},
	})
}

// ACSUser is the row of an ACS user's record.
func ACSUser(u record.Row) store.ACSUser {
	return store.ACSUser{
		ID: u.ID, Source: u.Source, ReservationID: u.ReservationID, ACSSystemID: u.ACSSystemID,
		UserIdentityKey: u.UserIdentityKey, UserIdentityID: u.UserIdentityID, GuestKey: u.GuestKey,

		MarkedAt: u.MarkedAt, LostAt: u.LostAt, ACSUserID: u.ACSUserID, MadeAt: u.MadeAt,
		Unsure: u.Unsure, UnsureGeneration: u.UnsureGeneration, ChangedAt: u.ChangedAt,
		MissingAt: u.MissingAt, RemovedAt: u.RemovedAt, ContestedAt: u.ContestedAt,
		DeletedAt: u.DeletedAt, DeleteLostAt: u.DeleteLostAt, DeletesInVain: u.DeletesInVain,

		StartsAt: u.StartsAt, EndsAt: u.EndsAt, AccessGroupIDs: u.AccessGroupIDs, GroupsRead: u.GroupsRead,

		CredentialID: u.CredentialID, CredentialMarkedAt: u.CredentialMarkedAt, CredentialLostAt: u.CredentialLostAt,
		CredentialMissingAt: u.CredentialMissingAt, CredentialProblem: u.CredentialProblem,

		Settled: u.Settled, Subscribed: u.Subscribed, Problem: u.Problem, SuspendedAt: u.SuspendedAt,

		Drift: u.Drift, Unkept: u.Unkept, UnkeptBy: u.UnkeptBy,
		RevivedGeneration: u.RevivedGeneration, RepairedGeneration: u.RepairedGeneration,
		Surplus: converted(u.Surplus, func(s record.SurplusUser) store.SurplusUser { return store.SurplusUser(s) }),
		Others:  u.Others,
	}
}

// Code is the record of a backup code's row, as it was loaded.
func Code(row store.BackupCode) *record.Code { return record.CodeOf(record.CodeRow(row)) }

// BackupCode is the row of a backup code's record.
func BackupCode(c *record.Code) store.BackupCode { return store.BackupCode(c.CodeRow) }

// Identity is the record of a user identity's row, as it was loaded.
func Identity(row store.UserIdentity) record.Identity { return record.Identity(row) }

// UserIdentity is the row of a user identity's record.
func UserIdentity(i record.Identity) store.UserIdentity { return store.UserIdentity(i) }

func converted[From, To any](list []From, convert func(From) To) []To {
	if list == nil {
		return nil
	}
	all := make([]To, len(list))
	for i, x := range list {
		all[i] = convert(x)
	}
	return all
}
