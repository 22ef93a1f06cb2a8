package pmsapi

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/pms"
)

// signSmoobu signs a request as Smoobu asks for: an HMAC-SHA256 over the method, path, query, time, nonce, hash of
// the body and API key, each on a line of its own. The API key is the client id, and the API secret the client
// secret.
func signSmoobu(req *http.Request, body []byte, c pms.Credentials, now time.Time, nonce string) {
	at := now.UTC().Format(time.RFC3339)
	hash := sha256.Sum256(body)
	canonical := strings.Join([]string{
		req.Method, req.URL.EscapedPath(), req.URL.Query().Encode(), at, nonce, hex.EncodeToString(hash[:]), c.ClientID,
	}, "\n")
	mac := hmac.New(sha256.New, []byte(c.ClientSecret))
	_, _ = mac.Write([]byte(canonical))
	req.Header.Set("X-API-Key", c.ClientID)
	req.Header.Set("X-Timestamp", at)
	req.Header.Set("X-Nonce", nonce)
	req.Header.Set("X-Signature", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func newNonce() string { return uuid.NewString() }
