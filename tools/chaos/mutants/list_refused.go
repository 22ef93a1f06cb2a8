package main

// refusedMutants are the protections against refusals that weren't, and against identities that are others'.
var refusedMutants = []mutant{
	provisionerTests("refused creates", "a refusal proves that nothing was made", "TestARefusedCreateThatShowsLate",
		edit{"internal/provisioner/create.go", "	if madeNothing(cause) {\n", "	if true {\n"}),
	provisionerTests("refused keys", "a refusal proves that no mobile key was made", "TestARefusedKeyThatShowsLate",
		edit{"internal/provisioner/create.go", "	case !madeNothing(err): //", "	case err == nil: //"}),
	provisionerTests("slots of refused creates", "another slot is used before lists would show what a refused create made",
		"TestARefusedCreateNextToAnUnfilteredList",
		edit{"internal/provisioner/create.go", "		return c.leaveOnce(ctx, i)\n", "		return c.slots.leave(ctx, i)\n"}),
	provisionerTests("refused deletes", "a refused delete proves that the ACS user is there", "TestARefusedDeleteAndAReturn",
		edit{"internal/provisioner/record/delete.go", "	if u.Exists() {\n", "	if false {\n"}),
	provisionerTests("refused changes", "a refusal proves that a change had no effect",
		"TestARefusedChangeThatIsTakenBack",
		edit{
			"internal/provisioner/observe.go", "slices.Contains(refusalReasons, stay.Text(k.Reason))",
			"slices.Contains(refusalReasons, \"\")",
		}),
	provisionerTests("refusals that last", "a change that Seam refuses is compared with each try",
		"TestARefusedChangeIsNotComparedEachTime",
		edit{
			"internal/provisioner/observe.go", "	return k.Attempts == 0 && slices",
			"	return slices",
		}),
	provisionerTests("refused deletes and extensions", "a refused delete hides that somebody extended the access",
		"TestARefusedDeleteAndAnExtension",
		edit{"internal/provisioner/remove.go", "	isUnsure := u.Unsure && !u.AwaitsLateDelete() //", "	isUnsure := u.Unsure //"}),
	provisionerTests("second users that were removed", "a removed second ACS user is not looked for again",
		"TestARemovedSecondUserIsLookedFor",
		edit{"internal/provisioner/surplus.go", "	s.removed.rememberOne(second.ID, u)\n", "	s.ledger.keepRemoved(store.RemovedUser{\n		ACSUserID: second.ID, ACSSystemID: u.ACSSystemID, RemovedAt: s.now(), EndsAt: u.EndsAt,\n	})\n"},
		edit{"internal/provisioner/surplus.go", "	\"github.com/staykey/staykey/internal/seam\"\n", "	\"github.com/staykey/staykey/internal/seam\"\n	\"github.com/staykey/staykey/internal/store\"\n"}),
	provisionerTests("adopted identities", "an adopted identity with another guest's address blocks the guest's own",
		"TestAnAdoptedIdentityThatBecameAnotherGuests",
		edit{
			"internal/provisioner/identity.go",
			"		if c.MadeByUs && (is.Key == \"\" || is.Key == c.Key) {\n",
			"		if true {\n",
		}),
	provisionerTests("one agreement about a user", "get and list agree once that an ACS user is gone, and that counts",
		"TestOneAgreementIsNoEvidence",
		edit{
			"internal/provisioner/check.go",
			"		if until := c.belief.countsFrom(*u.MissingAt); c.belief.tooEarly(until) {\n",
			"		if until := c.belief.countsFrom(*u.MissingAt); until.IsZero() {\n",
		}),
	provisionerTests("one agreement about a key", "get and list agree once that a mobile key is gone, and that counts",
		"TestOneAgreementIsNoEvidence",
		edit{
			"internal/provisioner/check.go",
			"	if until := c.belief.countsFrom(*u.CredentialMissingAt); c.belief.tooEarly(until) {\n",
			"	if until := c.belief.countsFrom(*u.CredentialMissingAt); until.IsZero() {\n",
		}),
	{
		name: "doors that are not read", what: "a key is issued before its doors were read back",
		edits: []edit{{
			"internal/provisioner/plan/verdict.go", "	if s.User.GroupsRead && s.User.KeyPhase()",
			"	if s.User.KeyPhase()",
		}},
		pkg: "./internal/provisioner/plan", tests: "^TestNoKeyIsIssuedBeforeItsDoorsAreRead$",
	},
	{
		name: "links last", what: "a change of doors waits for a link",
		edits: []edit{{
			"internal/provisioner/plan/plan.go",
			"	s.setSchedule(d, u)\n	s.setGroups(d, u)\n	s.setKey(d, u)\n	s.tidy(u)\n",
			"	s.tidy(u)\n	s.setSchedule(d, u)\n	s.setGroups(d, u)\n	s.setKey(d, u)\n",
		}},
		pkg: "./internal/provisioner/plan", tests: "^TestLinksAreLast$",
	},
	{
		name: "doors that a list lacks", what: "a door that one list leaves out counts as closed",
		edits: []edit{{
			"internal/provisioner/record/groups.go",
			"		if !slices.Contains(listed, id) && !slices.Contains(wanted, id) {\n", "		if false {\n",
		}},
		pkg: "./internal/provisioner/record", tests: "^TestMissingFieldsChangeNothing$",
	},
	provisionerTests("verdicts that can't be stored", "what Postgres refuses to store is tried without end",
		"TestAVerdictThatCanNeverBeStored",
		edit{
			"internal/provisioner/work.go", "	if store.IsDataError(err) || errors.Is(err, store.ErrIDTaken) {\n",
			"	if errors.Is(err, store.ErrIDTaken) {\n",
		}),
	provisionerTests("another identity's name", "what a lost create made is dropped if it names another identity",
		"TestALostCreateThatNamesAnotherIdentity",
		edit{
			"internal/provisioner/look.go",
			"	return merged || f.identities.exists(u) && ", "	return merged || false && ",
		}),
}
