package app

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/staykey/staykey/internal/config"
)

// Whatever is logged, secrets and guests' addresses are not in it.
func TestLogsAreRedacted(t *testing.T) {
	t.Parallel()
	const token = "an-admin-token-of-the-tests"
	var out bytes.Buffer
	c := config.Config{
		Redactor: &config.Redactor{}, SeamAPIKey: "seam_key_of_the_tests", AdminTokens: []string{token},
		DatabaseURL: "postgres://u:the-password-of-it@127.0.0.1/db", LogFormat: "json",
	}
	log, _ := newLogger(c, &out)
	log.Info("with jane.doe+x@mail.example.com", "error", fmt.Errorf("Seam answered seam_key_of_the_tests: %w",
		errors.New("dial the-password-of-it")), "url", &url.URL{Scheme: "https", Host: "h", RawQuery: "t=" + token},
		slog.Group("inside", "guest", "jane@example.com", "n", 7), "list", []string{token}, "map",
		map[string]any{"to": "jäne@exämple.example"},
		"struct", struct{ Key string }{"seam_key_of_the_tests"})
	c.Redactor.Hide([]string{"a-secret-of-a-reload"})
	log.Info("later: a-secret-of-a-reload and "+token, "config",
		slog.GroupValue(slog.String("database", "app@db.example.com:5432/x")))
	for _, word := range []string{
		"jane", "seam_key_of_the_tests", "the-password-of-it", token, "jäne",
		"a-secret-of-a-reload",
	} {
		if strings.Contains(out.String(), word) {
			t.Errorf("the log shows %q: %s", word, out.String())
		}
	}
	if !strings.Contains(out.String(), `"n":7`) || !strings.Contains(out.String(), "[secret]") ||
		!strings.Contains(out.String(), "app@db.example.com") {
		t.Errorf("the log lacks what may be shown: %s", out.String())
	}
}
