package pms

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Gate is something that must be open before a source's keys are created or handed out.
type Gate struct {
	Name   string
	Holds  string // "key" or "link"
	Revoke bool   // a key is taken away when the gate closes again, as long as the stay has not begun
}

// gateStates are the states of a gate. They are those of package stay, which this package doesn't import.
var gateStates = []string{"open", "closed", "unknown"}

// maxGates is how many gates one event can be about.
const maxGates = 20

var gateName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,49}$`)

var (
	errGateName  = errors.New("must be lower-case letters, digits and underscores, at most 50, and begin with a letter")
	errGateState = errors.New("must be one of " + strings.Join(gateStates, ", "))
	errGates     = fmt.Errorf(`must be an object of at most %d gates and their states, such as {"paid": "open"}`,
		maxGates)
)

// CheckGateName checks that a text can name a gate. The error is for people.
func CheckGateName(name string) error {
	if !gateName.MatchString(name) {
		return errGateName
	}
	return nil
}

// gates reads the states of gates of the canonical format. Null and "" are no value: the gate stays unchanged.
func (o object) gates() map[string]string {
	v, present := o.field("gates")
	if !present || v.Kind() == 'n' || string(v) == `""` {
		return nil
	}
	var states map[string]jsontext.Value
	if v.Kind() != '{' || json.Unmarshal(v, &states, jsontext.AllowDuplicateNames(true),
		jsontext.AllowInvalidUTF8(true)) != nil || len(states) > maxGates {
		o.fail("gates", errGates.Error())
		return nil
	}
	found := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		state := ""
		if states[name].Kind() == '"' {
			state = strings.TrimSpace(unquoted(states[name]))
		}
		switch {
		case CheckGateName(name) != nil:
			o.fail("gates."+printable(name, maxID), errGateName.Error())
		case states[name].Kind() == 'n' || states[name].Kind() == '"' && state == "":
		case !slices.Contains(gateStates, state):
			o.fail("gates."+name, errGateState.Error())
		default:
			found[name] = state
		}
	}
	return found
}

// gates reads the states of gates of another format. An unreadable state leaves its gate unchanged.
func (f fields) gates() map[string]string {
	states, ok := f.values["gates"].(map[string]any)
	if !ok || len(states) > maxGates {
		if f.values["gates"] != nil {
			f.drop("gates", errGates.Error())
		}
		return nil
	}
	found := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(states)) {
		state, isText := states[name].(string)
		switch {
		case states[name] == nil:
		case CheckGateName(name) != nil:
			f.drop("gates."+printable(name, maxID), errGateName.Error())
		case !isText || !slices.Contains(gateStates, state):
			f.drop("gates."+name, errGateState.Error())
		default:
			found[name] = state
		}
	}
	return found
}
