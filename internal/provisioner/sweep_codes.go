package provisioner

import (
	"context"

	"github.com/staykey/staykey/internal/seam"
	"github.com/staykey/staykey/internal/store"
)

// sweptCodes is what a sweep knows of the backup codes of an access system.
type sweptCodes struct {
	hasCodes bool
	// those that Seam lists, by the hashes of their ids and digits; without digits where Seam shows none
	codesListed map[uint64]struct{}
	// those that are recorded for the present page of ACS users, by the ids of their rows
	codesRecorded map[int64]store.BackupCode
}

func (s *systemSweep) noteCode(c seam.Credential) {
	if s.codesListed == nil {
		s.codesListed = map[uint64]struct{}{}
	}
	s.codesListed[s.hash(c.ACSCredentialID, c.Code)] = struct{}{}
}

func (s *systemSweep) readCodes(ctx context.Context, rows []store.RecordedUser) (err error) {
	if !s.hasCodes {
		return nil
	}
	ids := make([]int64, len(rows))
	for i, row := range rows {
		ids[i] = row.ID
	}
	s.codesRecorded, err = s.store.BackupCodes.Of(ctx, ids)
	return err
}

// codeDiffers reports whether the recorded code of an ACS user is not listed, or has other digits. One that is being
// made, looked for or deleted is not compared: its attempts do that.
func (s *systemSweep) codeDiffers(row store.RecordedUser) bool {
	c, has := s.codesRecorded[row.ID]
	if !has || c.CredentialID == nil || c.DueAt != nil || c.ACSUserID != row.ACSUserID {
		return false
	}
	digits, readable := s.sealer.Open(c.Sealed, *c.CredentialID)
	if !readable {
		return true // sealed with another API key: it is read again
	}
	if _, listed := s.codesListed[s.hash(*c.CredentialID, digits)]; listed {
		return false
	}
	_, listed := s.codesListed[s.hash(*c.CredentialID, "")]
	return !listed
}
