package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// What commands other than serve read from the environment. Each reads only what it needs: a migration needs no
// secret of a PMS.

// FromEnvironment loads the settings as serve does.
func (s *Settings) FromEnvironment() (Config, error) { return s.Load(os.Getenv) }

// DatabaseFromEnvironment returns DATABASE_URL, or the content of the file that DATABASE_URL_FILE names. The error is
// [Problems].
func DatabaseFromEnvironment() (string, error) {
	var s Settings
	var problems Problems
	s.readFiles(func(name string) string {
		if name == "DATABASE_URL" || name == "DATABASE_URL_FILE" {
			return os.Getenv(name)
		}
		return ""
	}, &problems)
	c := Config{DatabaseURL: s.DatabaseURL}
	s.loadDatabase(&c, &problems)
	if len(problems) > 0 {
		return "", problems
	}
	return c.DatabaseURL, nil
}

// SecretText reads the secret of a command from a file or, if there is none, from the environment. A secret is
// never a flag: other users of the machine can see those.
func SecretText(file, variable string) (string, error) {
	if file == "" {
		return os.Getenv(variable), nil
	}
	text, err := os.ReadFile(file) // #nosec G304 -- the user names it
	return strings.TrimSpace(string(text)), err
}

// AdminToken returns the token that a command shows to the service at base: that of the file, else STAYKEY_TOKEN, else
// the first of STAYKEY_ADMIN_TOKEN, else on this machine the well-known development token; "" if there is none.
func AdminToken(file, base string) (string, error) {
	token, err := SecretText(file, "STAYKEY_TOKEN")
	if err != nil || token != "" {
		return token, err
	}
	if list := SplitList(os.Getenv("STAYKEY_ADMIN_TOKEN")); len(list) > 0 {
		return list[0], nil
	}
	if u, err := url.Parse(base); err == nil {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || (ip != nil && ip.IsLoopback()) {
			return DevAdminToken, nil
		}
	}
	return "", nil
}

// CheckFile reads a config file as a start would, with the environment's variables. With noSecrets a variable that
// is not set is no problem: a made-up secret stands for it, and its name is returned. The error is [Problems], those of
// the file first, each as FILE:LINE:COLUMN: text, in the order of the file.
func CheckFile(file string, noSecrets bool) (set Set, unset []string, err error) {
	var problems Problems
	getenv := func(name string) string {
		value := os.Getenv(name)
		if value == "" && noSecrets && name != "" {
			if !slices.Contains(unset, name) {
				unset = append(unset, name)
			}
			value = placeholder(name)
		}
		return value
	}
	secret, err := SecretText(os.Getenv("STAYKEY_WEBHOOK_SECRET_FILE"), "STAYKEY_WEBHOOK_SECRET")
	if err != nil {
		problems.add("STAYKEY_WEBHOOK_SECRET_FILE", "%v: it must name a readable file", err)
	}
	set = ReadSources(file, secret, pms.DriftRepair, getenv, &problems)
	set.refuseSharedTokens(SplitList(os.Getenv("STAYKEY_ADMIN_TOKEN")), &problems)
	set.refuseWellKnown(&problems)
	if len(problems) > 0 {
		return set, unset, problems.ofFile(file)
	}
	return set, unset, nil
}

// ofFile returns the problems in the order of the file's lines, without the name of the setting that names the file.
func (p Problems) ofFile(file string) Problems {
	position := func(problem string) (line, column int) {
		_, err := fmt.Sscanf(strings.TrimPrefix(problem, file), ":%d:%d:", &line, &column)
		if err != nil {
			return math.MaxInt, 0
		}
		return line, column
	}
	sorted := make(Problems, len(p))
	for i, problem := range p {
		sorted[i] = strings.TrimPrefix(problem, "STAYKEY_CONFIG: ")
	}
	slices.SortStableFunc(sorted, func(a, b string) int {
		lineA, columnA := position(a)
		lineB, columnB := position(b)
		return cmp.Or(cmp.Compare(lineA, lineB), cmp.Compare(columnA, columnB))
	})
	return sorted
}

// placeholder stands for a secret that is not here. It has the form of one, and each variable has another.
func placeholder(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "whsec_" + base64.StdEncoding.EncodeToString(sum[:])
}

// ListenAddress is where a service with this environment listens (STAYKEY_LISTEN, default :8080), and whether by TLS.
func ListenAddress() (address string, tls bool) {
	address = os.Getenv("STAYKEY_LISTEN")
	if address == "" {
		address = ":8080"
	}
	return address, os.Getenv("STAYKEY_TLS_CERT") != ""
}
