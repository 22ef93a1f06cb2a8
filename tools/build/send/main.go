// The sample posts a reservation to staykey.
package main

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	now := time.Now()
	body := fmt.Appendf(nil, `{"type": "reservation.created", "timestamp": %q, "data": {
		"reservation_id": "3333122-433", "listing_id": "2222222-2222", "guest_email": "jane@example.com",
		"guest_name": "Jané Doe", "check_in": "2030-11-01T15:00:00Z", "check_out": "2030-11-04T11:00:00Z"}}`,
		now.UTC().Format(time.RFC3339))
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("STAYKEY_WEBHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}

	id := rand.Text() // the same one when you send this event again
	signature, err := webhook.Sign(id, now, body)
	if err != nil {
		log.Fatal(err)
	}

	request, err := http.NewRequest(http.MethodPost, os.Getenv("STAYKEY_WEBHOOK_URL"), bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", strconv.FormatInt(now.Unix(), 10))
	request.Header.Set("Webhook-Signature", signature)

	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer answer.Body.Close()

	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= 300 {
		log.Fatalf("%s: %s %v", answer.Status, text, err)
	}
	fmt.Println(answer.StatusCode, string(text))
}
