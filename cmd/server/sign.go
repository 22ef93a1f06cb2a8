package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/staykey/staykey/internal/config"
	"github.com/staykey/staykey/internal/pms"
)

type signCommand struct {
	Body       string `arg:"" optional:"" help:"The body exactly as you will send it; @FILE reads a file, - or nothing reads standard input."`
	SecretFile string `placeholder:"FILE" help:"File with the secret; default: STAYKEY_WEBHOOK_SECRET."`
	ID         string `help:"The webhook-id; default: a random one." placeholder:"ID"`
}

// Run prints the headers, one a line, as curl -H @- takes them.
func (s *signCommand) Run(io *streams) error {
	text, err := config.SecretText(s.SecretFile, "STAYKEY_WEBHOOK_SECRET")
	if err != nil {
		return err
	}
	secrets := config.SplitList(text)
	if len(secrets) == 0 {
		return config.Problems{
			"STAYKEY_WEBHOOK_SECRET: is required to sign: whsec_... (if there are several, comma-separated, the first signs)",
		}
	}

	secret, err := pms.ParseSecret(secrets[0])
	if err != nil {
		return config.Problems{cmp.Or(s.SecretFile, "STAYKEY_WEBHOOK_SECRET") + ": " + err.Error()}
	}
	body, err := s.body(io)
	if err != nil {
		return err
	}

	id := cmp.Or(s.ID, "msg_"+strings.ReplaceAll(uuid.NewString(), "-", ""))
	if err := pms.CheckWebhookID(id); err != nil {
		return err
	}

	now := time.Now()
	_, err = fmt.Fprintf(io.out, "webhook-id: %s\nwebhook-timestamp: %d\nwebhook-signature: %s\n", id, now.Unix(),
		secret.Sign(id, now, body))
	return err
}

func (s *signCommand) body(in *streams) ([]byte, error) {
	switch {
	case s.Body == "" || s.Body == "-":
		return io.ReadAll(in.in)
	case strings.HasPrefix(s.Body, "@"):
		return os.ReadFile(s.Body[1:]) // #nosec G304 -- the user names it
	default:
		return []byte(s.Body), nil
	}
}
