package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/staykey/staykey/internal/sso"
)

// loadSignIn loads a config file with a sign_in entry.
func loadSignIn(t *testing.T, entry string, change func(*Settings), env map[string]string) (Config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "staykey.yaml")
	if err := os.WriteFile(file, []byte("sign_in:\n"+entry), 0o600); err != nil {
		t.Fatal(err)
	}
	s := good()
	s.Config, s.PublicURL = file, "https://keys.example.com"
	if change != nil {
		change(&s)
	}
	return s.Load(func(name string) string { return env[name] })
}

const signIn = `  issuer: https://login.example.com/realms/hotel
  client_id: staykey
  client_secret: "${OIDC_SECRET}"
  roles:
    - {group: front-desk, scope: write, sources: [default]}
    - {group: audit}
`

func TestSignInOfTheConfigFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("a-secret-in-a-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := loadSignIn(t, signIn, nil, map[string]string{"OIDC_SECRET_FILE": file})
	if err != nil {
		t.Fatal(err)
	}
	want := &sso.Settings{
		Issuer: "https://login.example.com/realms/hotel", ClientID: "staykey", ClientSecret: "a-secret-in-a-file",
		Label: "Sign in with your work account", Scopes: []string{"profile", "email"}, GroupsClaim: "groups",
		Roles: []sso.Role{{Group: "front-desk", Write: true, Sources: []string{"default"}}, {Group: "audit"}},
	}
	if diff := cmp.Diff(want, c.SignIn); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(c.Files(), file) {
		t.Errorf("the secret's file isn't watched: %v", c.Files())
	}
	c, err = loadSignIn(t, `  {issuer: "http://127.0.0.1:5556/dex", client_id: c, label: Sign in,
    scopes: [openid, groups], groups_claim: hd,
    roles: [{group: hotel.example, scope: read}]}`, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&sso.Settings{
		Issuer: "http://127.0.0.1:5556/dex", ClientID: "c", Label: "Sign in", Scopes: []string{"groups"},
		GroupsClaim: "hd", Roles: []sso.Role{{Group: "hotel.example"}},
	}, c.SignIn); diff != "" {
		t.Error(diff)
	}
	if c, err := good().Load(func(string) string { return "" }); err != nil || c.SignIn != nil {
		t.Errorf("without sign_in: %v %v", c.SignIn, err)
	}
}

func TestSignInProblems(t *testing.T) {
	t.Parallel()
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	roles := "  roles: [{group: g}]\n"
	base := "  issuer: https://login.example.com\n  client_id: c\n"
	for name, c := range map[string]struct {
		entry  string
		change func(*Settings)
		env    map[string]string
		want   []string // in the lines
	}{
		"nothing": {"  label: x\n", nil, nil, []string{
			"sign_in.issuer: is required", "sign_in.client_id: is required", "sign_in.roles: at least one",
		}},
		"plain http": {
			"  issuer: http://login.example.com\n  client_id: c\n" + roles, nil, nil, []string{"must begin with https://"},
		},
		"no URL": {"  issuer: login.example.com\n  client_id: c\n" + roles, nil, nil, []string{"must be a URL"}},
		"a query": {
			"  issuer: https://login.example.com/?a=b\n  client_id: c\n" + roles, nil, nil, []string{"must be a URL"},
		},
		"a role without a group": {
			base + "  roles: [{scope: write}]\n", nil, nil, []string{"sign_in.roles[0].group: is required"},
		},
		"a group twice": {
			base + "  roles: [{group: g}, {group: g, scope: write}]\n", nil, nil, []string{`"g" is defined twice`},
		},
		"a scope of programs": {
			base + "  roles: [{group: g, scope: gates}]\n", nil, nil, []string{`"gates" must be read or write`},
		},
		"no sources":           {base + "  roles: [{group: g, sources: []}]\n", nil, nil, []string{"must name at least one"}},
		"another source":       {base + "  roles: [{group: g, sources: [x]}]\n", nil, nil, []string{`"x" is not a source`}},
		"two words as a scope": {base + `  scopes: ["a b"]` + "\n" + roles, nil, nil, []string{"must be one word"}},
		"unknown":              {base + roles + "  client: x\n", nil, nil, []string{"sign_in.client: is unknown"}},
		"no public URL": {
			base + roles, func(s *Settings) { s.PublicURL = "" }, nil,
			[]string{"STAYKEY_PUBLIC_URL: is required, because the config file has sign_in"},
		},
		"a secret that is not set": {
			base + roles + `  client_secret: "${X}"` + "\n", nil, nil,
			[]string{"the environment variable X is not set"},
		},
		"a secret's file that isn't there": {
			base + roles + `  client_secret: "${X}"` + "\n", nil,
			map[string]string{"X_FILE": "/nowhere"},
			[]string{"X_FILE: open /nowhere"},
		},
		"a secret's file that is empty": {
			base + roles + `  client_secret: "${X}"` + "\n", nil,
			map[string]string{"X_FILE": empty},
			[]string{"is empty: it must hold the value of X"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := loadSignIn(t, c.entry, c.change, c.env)
			if err == nil {
				t.Fatal("it is valid")
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Errorf("%d problems:\n%s", len(lines), err)
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("nothing says %q:\n%s", want, err)
				}
			}
		})
	}
}
