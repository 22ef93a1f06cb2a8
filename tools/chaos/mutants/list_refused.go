package main

// refusedMutants are the protections against refusals that weren't, and against identities that are others'.
var refusedMutants = []mutant{
	provisionerTests("refused creates", "a refusal proves that nothing was made", "TestARefusedCreateThatShowsLate",
		edit{"internal/provisioner/create.go", "	if madeNothing(cause) {\n", "	if true {\n"}),
	provisionerTests("refused keys", "a refusal proves that no mobile key was made", "TestARefusedKeyThatShowsLate",
		edit{"internal/provisioner/create.go", "	case !madeNothing(err): //", "	case err == nil: //"}),
	provisionerTests("adopted identities", "an adopted identity with another guest's address blocks the guest's own",
		"TestAnAdoptedIdentityThatBecameAnotherGuests",
		edit{
			"internal/provisioner/identity.go",
			"		if c.MadeByUs && (is.Key == \"\" || is.Key == c.Key) {\n",
			"		if true {\n",
		}),
	provisionerTests("another identity's name", "what a lost create made is dropped if it names another identity",
		"TestALostCreateThatNamesAnotherIdentity",
		edit{
			"internal/provisioner/look.go",
			"	return merged || f.identities.exists(u) && ", "	return merged || false && ",
		}),
}
