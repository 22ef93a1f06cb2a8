package main

import (
	"regexp"
	"testing"

	"github.com/alecthomas/kong"
)

// No command takes a secret as a flag: everybody on the machine sees the arguments of a process.
func TestSecretsAreNoFlags(t *testing.T) {
	t.Parallel()
	var c cli
	parser, err := kong.New(&c, kong.Vars{"version": ""})
	if err != nil {
		t.Fatal(err)
	}
	secret := regexp.MustCompile(`secret|token|password|key|dsn|database-url`)
	allowed := map[string]string{
		"secret-file": "a file", "token-file": "a file",
		"api-key": "what the simulator takes, which guards nothing",
		"tls-key": "a file", "key": "the status of a key", "by-token": "the name of a token",
	}
	flags := 0
	_ = kong.Visit(parser.Model, func(node kong.Visitable, next kong.Next) error {
		if flag, is := node.(*kong.Flag); is {
			flags++
			if _, ok := allowed[flag.Name]; !ok && !flag.IsBool() && secret.MatchString(flag.Name) {
				t.Errorf("--%s", flag.Name)
			}
		}
		return next(nil)
	})
	if flags < 20 {
		t.Errorf("only %d flags were looked at", flags)
	}
}
