package main

// gateMutants are the protections of keys that wait for something.
var gateMutants = []mutant{
	{
		name: "closed gates", what: "a closed gate withholds nothing",
		edits: []edit{{
			"internal/provisioner/plan/gates.go", "	if len(closed) == 0 {\n",
			"	if len(closed) >= 0 {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestUnkindWorlds$",
	},
	{
		name: "gates in any order", what: "a closed gate withholds nothing",
		edits: []edit{{
			"internal/provisioner/plan/gates.go", "	if len(closed) == 0 {\n",
			"	if len(closed) >= 0 {\n",
		}},
		pkg: "./internal/provisioner", tests: "^TestModelWithGates$",
	},
	{
		name: "gates that take a key", what: "a key stays although its gate takes it away",
		edits: []edit{{
			"internal/provisioner/plan/gates.go", "		takes = takes || g.TakesKey() && !d.Begun\n",
			"		takes = takes && g.TakesKey()\n",
		}},
		pkg: "./internal/provisioner/plan", tests: "^TestGates$",
	},
	{
		name: "keys that a link gate took", what: "a key that a gate took away is created again at check-in",
		edits: []edit{{
			"internal/provisioner/plan/gates.go",
			"		case g.Holds == stay.HoldsKey, g.Opened && g.Revoke:\n",
			"		case g.Holds == stay.HoldsKey:\n",
		}},
		pkg: "./internal/provisioner/plan", tests: "^TestGates$",
	},
	{
		name: "hours with gates", what: "a key with a closed gate doesn't follow its stay",
		edits: []edit{{
			"internal/provisioner/plan/gates.go", "		d.Stays, d.Create = key+1, false\n",
			"		d.Stays, d.Create = 0, false\n		d.NoKey = true\n",
		}},
		pkg: "./internal/provisioner/plan", tests: "^TestGates$",
	},
	{
		name: "gates and statuses", what: "a word about a gate makes an issued key look unfinished",
		edits: []edit{{"internal/intake/gates.go", "	w.Interim = \"\"\n	return w\n", "	return w\n"}},
		pkg:   "./internal/provisioner", tests: "^TestAGateKeepsTheStatus$",
	},
	{
		name: "a person's decision", what: "a later word of a program counts although a person has decided",
		edits: []edit{{
			"internal/stay/gates.go", "	if w.Person != nil && w.Person.State != \"\" {\n",
			"	if w.Person != nil && w.Person.State != \"\" && word == nil {\n",
		}},
		pkg: "./internal/handlers", tests: "^TestWhoSetsGates$",
	},
	packageTests("./internal/notify", "moved deadlines", "a check-in that moves past a deadline is not looked at",
		"TestHeldWhenTheCheckInMoves",
		edit{
			"migrations/00038_check_in_moves.sql",
			"        OR (OLD.check_in IS DISTINCT FROM NEW.check_in AND NEW.status IN ('waiting', 'attention')))\n",
			")\n",
		}),
	packageTests("./internal/notify", "missed deadlines", "deadlines that pass while nothing runs are not looked at",
		"TestHeldAfterAnOutage",
		edit{
			"internal/store/gates.go", "		case looked.After(from):\n			from = *looked\n",
			"		default:\n			from = now\n",
		}),
}
