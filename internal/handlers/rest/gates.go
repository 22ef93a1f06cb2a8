package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/staykey/staykey/internal/admin"
	"github.com/staykey/staykey/internal/stay"
)

// Gate is a gate of a reservation.
type Gate struct {
	Name     string  `json:"name" example:"paid"`
	Holds    string  `json:"holds" enum:"key,link" doc:"What the gate withholds. key: nothing is created before it is open. link: the key is created, but not handed out."`
	State    string  `json:"state" enum:"open,closed,unknown" doc:"unknown counts as closed."`
	By       *string `json:"by" example:"Maria (front-desk)" doc:"Who set it last: pms, the token's name, or a person with the token's name. Null if nobody did."`
	At       *string `json:"at" format:"date-time"`
	Evidence *string `json:"evidence" example:"card terminal, receipt 4711"`
	Decided  bool    `json:"decided" doc:"A person decided: the PMS and programs have no effect until a person takes the decision back."`
}

func showGate(g stay.Gate) Gate {
	out := Gate{Name: g.Name, Holds: g.Holds, State: g.State, Decided: g.Decided}
	if g.By != "" {
		out.By, out.At = &g.By, stampOrNull(&g.At)
	}
	if g.Evidence != "" {
		out.Evidence = &g.Evidence
	}
	return out
}

func showGates(gates []stay.Gate) []Gate {
	shown := make([]Gate, len(gates))
	for i, g := range gates {
		shown[i] = showGate(g)
	}
	return shown
}

// GateSetting is the new state of a gate.
type GateSetting struct {
	State    *string `json:"state" enum:"open,closed,unknown" nullable:"true" doc:"null takes back a person's decision: then the latest state from the PMS or a program counts again. Only a person can do this, so author is required."`
	Evidence string  `json:"evidence,omitempty" maxLength:"500" example:"card terminal, receipt 4711" doc:"How you know. It is removed with the guest's data."`
	Author   string  `json:"author,omitempty" maxLength:"100" example:"Maria" doc:"The person who decides. A person's decision counts until a person takes it back. Without an author, the next event of the PMS or the next request replaces it."`
}

// GateInput sets a gate.
type GateInput struct {
	ReservationPath
	Name string `path:"name" example:"paid"`
	Body GateSetting
}

func (s *API) gateOperation(api huma.API) {
	set := operation("set-gate", http.MethodPut, reservationPath+"/gates/{name}", "Actions", "Open or close a gate",
		withBody(http.StatusForbidden, http.StatusNotFound)...)
	set.Description = "Needs a token with scope gates or write. The gate must be one of the source's. A gate that " +
		"closes under an existing key takes it away only if the gate says revoke and the stay has not begun."
	huma.Register(api, set, func(ctx context.Context, in *GateInput) (*Output[Gate], error) {
		gate, err := s.Admin.Actions.SetGate(ctx, in.ref(), admin.GateChange{
			Name: in.Name, State: stay.Text(in.Body.State), Evidence: in.Body.Evidence, Author: in.Body.Author,
		})
		if err != nil {
			return nil, s.problemOf(ctx, err)
		}
		return &Output[Gate]{showGate(gate)}, nil
	})
}
