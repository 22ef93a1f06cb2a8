package main

// wantedMutants are the protections that depend on what is wanted, and on how long Seam has given no answer.
var wantedMutants = []mutant{
	{
		name: "keys that can't be removed", what: "a revoked key that Seam doesn't remove is handed out",
		edits: []edit{{
			"internal/store/guest_stays.go", `	return s.Status == "confirmed" && !s.Revoked && !over`,
			`	return s.Status == "confirmed" && !over`,
		}},
		pkg: "./internal/guest", tests: "^TestAKeyThatCantBeRemovedIsGivenToNobody$",
	},
	{
		name: "codes after Seam's answer", what: "a code is given although its key was revoked while Seam was asked",
		edits: []edit{{
			"internal/guest/code.go", "	if state, err = s.store.GuestStays.State(ctx, state.Ref); err != nil {\n",
			"	if err != nil {\n",
		}},
		pkg: "./internal/guest", tests: "^TestACodeIsJudgedAgainAfterSeamHasAnswered$",
	},
	{
		name: "rooms that were left", what: "a code is given that opens the doors of a room that the stay has left",
		edits: []edit{{
			"internal/store/guest_stays.go", "	return len(s.ListingGroups) > 0 && lacks", "	return len(s.ListingGroups) < 0 && lacks",
		}},
		pkg: "./internal/guest", tests: "^TestNoCodeOfARoomThatWasLeft$",
	},
	provisionerTests("endless rate limits", "a stay that Seam's rate limit keeps without a key for hours has no reason",
		"TestAnEndlessRateLimitHasAReason",
		edit{"internal/provisioner/verdict.go", "e.reportSilence(v, true); v.Reason", "e.reportSilence(v, false); v.Reason"}),
	provisionerTests("single losses", "two lost calls after many tries count as silence", "TestTwoLostCallsAreNoSilence",
		edit{
			"internal/provisioner/silence.go", "	if !reported && !(failed && isLong && v.Failures >= silentTries) {\n",
			"	if !reported && !(failed && (isLong || v.Attempts > 20)) {\n",
		}),
	provisionerTests("stays that get further", "a stay that gets further at each try counts as silence",
		"TestGettingFurtherIsNoSilence",
		edit{"internal/provisioner/silence.go", "		return e.changes > 1\n", "		return e.changes > 100\n"}),
	provisionerTests("old keys of a move", "an old key waits as soon as something stands against the new one",
		"TestAnUnknownDoorDoesntKeepTheOldKey",
		edit{"internal/provisioner/remove.go", "u.Settled && j.Reason !=", "j.Reason !="}),
	provisionerTests("old failed deletions", "the error of a deletion that nobody wants any more is a problem",
		"TestAnOldFailedDeletionIsNoProblem",
		edit{"internal/seam/objects.go", "return e.ErrorCode == NotDeleted }\n", "return e.ErrorCode == `none` }\n"}),
	provisionerTests("ranks of removals", "a key that opens early is taken away as late as its check-in",
		"TestARemovalRanksByWhenTheKeyOpens",
		edit{"internal/store/mobile_keys.go", "coalesce(least(w.rank_at, w.opens_at), k", "coalesce(w.rank_at, k"}),
	provisionerTests("ids of removed ACS users", "the id of a removed ACS user is forgotten",
		"TestARemovedUserThatComesBackIsRemovedAgain",
		edit{"internal/provisioner/removed.go", "	if u.ACSUserID == nil {\n", "	if true {\n"}),
	provisionerTests("sweeps for removed ACS users", "a sweep doesn't look for removed ACS users",
		"TestARemovedUserThatComesBackIsRemovedAgain",
		edit{"internal/provisioner/sweep_compare.go", "s.users[s.hash(id)]; listed", "s.users[s.hash(id)]; listed && false"}),
	provisionerTests("removed ACS users of other stays", "a removed ACS user is deleted although another stay has it",
		"TestARemovedUserThatAnotherStayHas",
		edit{"internal/store/removed_acs_users.go", "	return !taken, wrap", "	return true, wrap"}),
	provisionerTests("removed ACS users that never leave", "one that is back and being deleted counts as gone",
		"TestARemovedUserThatIsBackAndBeingDeletedForever",
		edit{"internal/provisioner/removed.go", "		return r.isLeaving(u)\n", "		r.isGone(u)\n\t\treturn outcome{}\n"}),
	provisionerTests("old requests", "a request lifts a suspension of days later", "TestAnOldRequestLiftsNoSuspension",
		edit{"internal/provisioner/attempt.go", " && !isOutdated(loaded.Key, p.now())", ""}),
	provisionerTests("lists that are not found", "a list that isn't found shows that an ACS user is gone",
		"TestAListThatIsNotFoundIsNoAbsence",
		edit{
			"internal/provisioner/look.go", "	return entryOf(u, list), out\n",
			"	_ = out\n	return entryOf(u, list), outcome{}\n",
		}),
}
