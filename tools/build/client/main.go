//go:build clients

// Client uses the client that oapi-codegen makes of docs/openapi.json (client.gen.go, which make clients-test writes)
// against a running service.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	_ "github.com/oapi-codegen/runtime" // which client.gen.go needs
)

func main() {
	token := func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer "+os.Getenv("STAYKEY_TOKEN"))
		return nil
	}
	c, err := NewClientWithResponses(os.Getenv("STAYKEY_URL"), WithRequestEditorFn(token))
	if err != nil {
		log.Fatal(err)
	}

	ctx := context.Background()
	sort := CheckIn
	list, err := c.ListReservationsWithResponse(ctx, &ListReservationsParams{Sort: &sort})
	if err != nil || list.JSON200 == nil || len(list.JSON200.Items) == 0 {
		log.Fatalf("%v %s", err, list.Body)
	}

	one := list.JSON200.Items[0]
	reason := HoldJSONRequestBody{Reason: "a generated client"}
	held, err := c.HoldWithResponse(ctx, one.Source, one.ReservationId, &HoldParams{}, reason)
	if err != nil || held.JSON202 == nil {
		log.Fatalf("%v %s", err, held.Body)
	}

	missing, err := c.GetReservationWithResponse(ctx, one.Source, "no such/Ä", &GetReservationParams{})
	if err != nil || missing.StatusCode() != http.StatusNotFound {
		log.Fatalf("%v %s", err, missing.Body)
	}
	fmt.Println("reservation", one.ReservationId, one.MobileKey.Status)
}
