package main

// writeBackMutants are the protections of fields of PMSs: nothing is written for a key that was taken away, and what a
// dead process wrote is cleared.
var writeBackMutants = []mutant{
	{
		name: "write-back: mark", what: "a change of a field is not recorded before it is sent",
		edits: []edit{{
			"internal/writeback/record.go", "		row.Unsure, row.Target = true, encodeTarget(a.target)\n",
			"		row.Target = encodeTarget(a.target)\n",
		}},
		pkg: "./cmd/server", tests: "^(TestWriteBackKilledAtMarkedPoints)$",
		env: []string{"STAYKEY_WRITE_BACK_POINTS=20"},
	},
	packageTests("./internal/writeback", "write-back: decision",
		"a call leaves although the stay has changed since the decision", "TestNothingIsWrittenForAKeyThatIsGone",
		edit{
			"internal/writeback/record.go", "		if stateOf(s.Stays) != a.seen || s.Row.Changes != a.row.Changes {\n",
			"		if false {\n",
		}),
}
