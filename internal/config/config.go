package config

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/staykey/staykey/internal/pms"
	"github.com/staykey/staykey/internal/retention"
)

// Settings are the service's settings as they are given: flags, and environment variables where a flag is absent. They
// are texts, so that all problems can be reported at once.
type Settings struct {
	DatabaseURL    string `kong:"-"` // DATABASE_URL
	SeamAPIKey     string `kong:"-"` // SEAM_API_KEY
	SeamEndpoint   string `env:"SEAM_ENDPOINT" placeholder:"URL" help:"Seam's URL, as in Seam's own SDKs; default https://connect.getseam.com."`
	SeamSecret     string `kong:"-"` // SEAM_WEBHOOK_SECRET
	SeamSystemID   string `env:"SEAM_ACS_SYSTEM_ID" name:"seam-acs-system-id" placeholder:"ID" help:"Access system of listings and sources that name none; default: determined from the listing's access groups."`
	Listen         string `env:"STAYKEY_LISTEN" placeholder:"ADDRESS" help:"Public listener: webhooks, guests' links, and the page and REST unless they have their own; default :8080, or 127.0.0.1:8080 with --dev."`
	AdminListen    string `env:"STAYKEY_ADMIN_LISTEN" placeholder:"ADDRESS" help:"Admin listener: the page and REST, which the public listener then doesn't serve; needs --admin-url and --public-url. Default: none, the public listener serves both."`
	TLSCert        string `env:"STAYKEY_TLS_CERT" name:"tls-cert" placeholder:"FILE" help:"Certificate chain (PEM) of the public and the admin listener, with --tls-key; reloaded on SIGHUP. Default: HTTP, for a proxy in front."`
	TLSKey         string `env:"STAYKEY_TLS_KEY" name:"tls-key" placeholder:"FILE" help:"Its private key (PEM)."`
	OpsListen      string `env:"STAYKEY_OPS_LISTEN" placeholder:"ADDRESS" help:"Private listener: metrics, health with detail, pprof; default 127.0.0.1:9090."`
	WebhookSecret  string `kong:"-"` // STAYKEY_WEBHOOK_SECRET
	AdminToken     string `kong:"-"` // STAYKEY_ADMIN_TOKEN
	PublicURL      string `env:"STAYKEY_PUBLIC_URL" name:"public-url" placeholder:"URL" help:"Where PMSs and guests reach the public listener, such as https://keys.example.com. Used for test events and guests' links, and shown on pages; required with guest_links."`
	AdminURL       string `env:"STAYKEY_ADMIN_URL" name:"admin-url" placeholder:"URL" help:"Where admins and programs reach the page and REST, such as https://admin.keys.example.com; links in messages begin with it. Required with --admin-listen; default: --public-url."`
	Config         string `env:"STAYKEY_CONFIG" placeholder:"FILE" help:"YAML file with sources and policies."`
	Watch          string `env:"STAYKEY_WATCH" placeholder:"DURATION" help:"How often to check the config file, the files of secrets and the certificate for changes, which are reloaded as on SIGHUP; default 0s: never."`
	RetryBase      string `env:"STAYKEY_RETRY_BASE" placeholder:"DURATION" help:"First wait after a failed provisioning attempt; it doubles, with jitter, up to 15 min; default 2s."`
	SweepInterval  string `env:"STAYKEY_SWEEP_INTERVAL" placeholder:"DURATION" help:"How often live keys are compared with Seam and repaired; default 15m."`
	Drift          string `env:"STAYKEY_DRIFT" placeholder:"POLICY" help:"What to do when somebody changed a key at Seam or in Salto KS: repair or report; a source's drift takes precedence; default repair."`
	StopDelay      string `env:"STAYKEY_STOP_DELAY" placeholder:"DURATION" help:"How long requests are still accepted after a stop begins and /readyz answers 503, so that load balancers notice; at most 8s, default 5s, 0s with --dev."`
	DueWithin      string `env:"STAYKEY_DUE_WITHIN" placeholder:"DURATION" help:"Count (staykey_due_without_key) and log arrivals within this time that have no issued key; default 24h."`
	Workers        string `env:"STAYKEY_WORKERS" placeholder:"N" help:"Reservations that one replica provisions at a time, 1 to 256; default 16."`
	RetainBodies   string `env:"STAYKEY_RETAIN_BODIES" placeholder:"AGE" help:"How long raw bodies and guest data are kept after check-out, such as 30d, or never to keep them forever; default 30d. Data without a check-out is kept at least 400d, here and below."`
	RetainEvents   string `env:"STAYKEY_RETAIN_EVENTS" placeholder:"AGE" help:"The same for events; default 90d."`
	RetainTimeline string `env:"STAYKEY_RETAIN_TIMELINE" name:"retain-timeline" placeholder:"AGE" help:"The same for timelines; default 180d."`
	RetainStays    string `env:"STAYKEY_RETAIN_RESERVATIONS" name:"retain-reservations" placeholder:"AGE" help:"The same for reservations; default 400d. None of the four may be shorter than the one before it."`
	RetainSent     string `env:"STAYKEY_RETAIN_DELIVERIES" name:"retain-deliveries" placeholder:"AGE" help:"How long messages to subscriptions are kept with their attempts, such as 30d, or never to keep them forever; default 30d."`
	LogLevel       string `env:"STAYKEY_LOG_LEVEL" placeholder:"LEVEL" help:"debug, info, warn or error; default info."`
	LogFormat      string `env:"STAYKEY_LOG_FORMAT" placeholder:"FORMAT" help:"json or text; default json, or text with --dev."`
	Dev            bool   `env:"STAYKEY_DEV" help:"Development mode: listen on loopback; without DATABASE_URL start a Postgres; without SEAM_API_KEY start the Seam simulator. Secrets that are not set are generated and printed; on loopback with the simulator they are well-known ones."`
	DevWithoutKey  bool   `env:"STAYKEY_DEV_WITHOUT_KEY" help:"Like --dev while SEAM_API_KEY is empty, a normal start once it is set."`
	DevLoopback    bool   `env:"STAYKEY_DEV_LOOPBACK" help:"Declares that only this machine can reach the public listener, although it doesn't listen on loopback (docker-compose.yml). A simulated start then uses the well-known development secrets."`
	Profiling      bool   `env:"STAYKEY_PPROF" name:"pprof" help:"Serve pprof on the private listener even if that isn't on loopback; on loopback it is always served."`
	DevDir         string `env:"STAYKEY_DEV_DIR" placeholder:"DIR" help:"Where --dev keeps its Postgres and its simulator; default .staykey."`
}

// Config is the checked configuration: the only thing that the rest of the program reads.
type Config struct {
	DatabaseURL  string
	SeamAPIKey   string
	SeamEndpoint string
	SeamSystemID string
	Listen       string
	AdminListen  string // "": the public listener serves the page and REST
	OpsListen    string
	PublicURL    string
	AdminURL     string       // where the page and REST are; "" if that is not known
	TLS          *Certificate // nil: HTTP
	AdminTokens  []string     // of STAYKEY_ADMIN_TOKEN
	Set
	given         Settings            // as they were given, before files were read
	getenv        func(string) string // what they were read with
	Redactor      *Redactor           // takes secrets out of log records
	Watch         time.Duration       // how often files are compared; 0: never
	RetryBase     time.Duration
	SweepInterval time.Duration
	Drift         pms.Drift
	StopDelay     time.Duration
	DueWithin     time.Duration
	Workers       int
	Ages          retention.Ages
	// RetainDeliveries is how long messages to subscriptions are kept; 0: forever.
	RetainDeliveries time.Duration
	LogLevel         slog.Level
	LogFormat        string
	Dev              bool
	DevDir           string
	Compose          bool // in docker-compose.yml's container: commands are pasted outside of it
	Simulate         bool // no Seam but the simulator
	DevLoopback      bool // the public listener is published on loopback only
	Traced           bool // events are traced: an endpoint is set, by OpenTelemetry's own variables
	TuneGC           bool // GOGC is not set
	TuneMemory       bool // GOMEMLIMIT is not set
	Profiling        bool // pprof on the private listener
	Printed          bool // secrets were made for this start, and are shown
	Made             madeSecrets
	WebhookSecret    string // of the source default, "" for none
	readSources      func(secret string, admins []string, problems *Problems) Set
}

// Problems are what is wrong with a configuration, one line each.
type Problems []string

// Error implements error.
func (p Problems) Error() string { return strings.Join(p, "\n") }

func (p *Problems) add(name, format string, args ...any) {
	*p = append(*p, name+": "+fmt.Sprintf(format, args...))
}

// Load checks the settings. The error is [Problems] with everything that is wrong.
func (s Settings) Load(getenv func(string) string) (Config, error) {
	var problems Problems
	given := s
	s.readFiles(getenv, &problems)
	c := Config{
		given: given, getenv: getenv, Redactor: &Redactor{},
		Traced: getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || getenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") != "",
		TuneGC: getenv("GOGC") == "", TuneMemory: getenv("GOMEMLIMIT") == "",
		DatabaseURL: s.DatabaseURL, SeamAPIKey: strings.TrimSpace(s.SeamAPIKey),
		SeamSystemID: strings.TrimSpace(s.SeamSystemID),
		Dev:          s.Dev || (s.DevWithoutKey && s.SeamAPIKey == ""), DevDir: cmp.Or(s.DevDir, ".staykey"),
	}
	c.Simulate, c.Compose = c.Dev && c.SeamAPIKey == "", c.Dev && !s.Dev

	s.readListeners(&c) // which secrets a start may use depends on where it listens
	s.loadDatabase(&c, &problems)
	c.refuseTrialPassword(&problems)
	s.loadSeam(&c, &problems)
	if c.Drift = pms.Drift(cmp.Or(s.Drift, string(pms.DriftRepair))); !c.Drift.Valid() {
		problems.add("STAYKEY_DRIFT", "%q must be repair or report", s.Drift)
	}
	s.loadSecrets(&c, getenv, &problems)
	s.loadListeners(&c, &problems)
	s.loadPaces(&c, &problems)
	s.loadAges(&c, &problems)
	s.loadLog(&c, &problems)
	if len(problems) > 0 {
		return Config{}, problems
	}
	return c, nil
}

// EnvironmentHelp lists the settings that have no flag, because other users can read command lines.
const EnvironmentHelp = `Secrets are environment variables, never flags, because everybody on the machine can read a command line. Each can also be in a file that NAME_FILE names, such as DATABASE_URL_FILE.

  DATABASE_URL            Postgres 15 or newer: a DSN. Required, except with --dev.
  SEAM_API_KEY            The API key of the Seam workspace. Required, except with --dev.
  SEAM_WEBHOOK_SECRET     whsec_... for the events that Seam posts to /seam/webhooks, comma-separated; without one, that path returns 404.
  STAYKEY_WEBHOOK_SECRET  Secrets of the source default, comma-separated; any one verifies. Required unless the config file defines sources.
  STAYKEY_ADMIN_TOKEN     Bearer tokens of admins, comma-separated, each at least 24 characters. Required.`

// ofFiles are the settings that may name a file with their value, as NAME_FILE.
var ofFiles = []string{
	"DATABASE_URL", "SEAM_API_KEY", "SEAM_WEBHOOK_SECRET", "STAYKEY_WEBHOOK_SECRET", "STAYKEY_ADMIN_TOKEN",
}

// Files are the files that the configuration was read from: the config file, those of secrets, and the certificate.
func (c Config) Files() []string {
	files := []string{c.given.Config, c.given.TLSCert, c.given.TLSKey}
	for _, name := range ofFiles {
		files = append(files, c.getenv(name+"_FILE"))
	}
	files = append(files, c.secretFiles...)
	return slices.DeleteFunc(files, func(file string) bool { return file == "" })
}

// readFiles takes secrets from the environment, or from the files that NAME_FILE names.
func (s *Settings) readFiles(getenv func(string) string, problems *Problems) {
	values := map[string]*string{
		"DATABASE_URL": &s.DatabaseURL, "SEAM_API_KEY": &s.SeamAPIKey, "SEAM_WEBHOOK_SECRET": &s.SeamSecret,
		"STAYKEY_WEBHOOK_SECRET": &s.WebhookSecret, "STAYKEY_ADMIN_TOKEN": &s.AdminToken,
	}
	for _, name := range ofFiles {
		value := values[name]
		if *value == "" {
			*value = getenv(name)
		}
		file := getenv(name + "_FILE")
		if file == "" {
			continue
		}
		if *value != "" {
			problems.add(name+"_FILE", "%s is set too: keep one of them", name)
			continue
		}
		var problem string
		if *value, problem = fileValue(file, name); problem != "" {
			problems.add(name+"_FILE", "%s", problem)
		}
	}
}

// fileValue is what a file says that NAME_FILE names, for the setting of that name; with a problem it is "".
func fileValue(file, name string) (value, problem string) {
	content, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		return "", err.Error() + ": it must name a readable file"
	}
	if value = strings.TrimSpace(string(content)); value == "" {
		return "", file + " is empty: it must hold the value of " + name
	}
	return value, ""
}

// LogValue shows the configuration without its secrets.
func (c Config) LogValue() slog.Value {
	sources := make([]string, 0, len(c.Sources))
	for name := range c.Sources {
		sources = append(sources, name)
	}
	return slog.GroupValue(
		slog.String("database", maskDSN(c.DatabaseURL)), slog.String("seam_endpoint", c.SeamEndpoint),
		slog.Bool("seam_simulated", c.Simulate),
		slog.String("listen", c.Listen), slog.String("admin_listen", c.AdminListen),
		slog.String("ops_listen", c.OpsListen), slog.Any("sources", sources),
		slog.Int("admin_tokens", len(c.AdminTokens)+len(c.Tokens)), slog.Bool("seam_webhooks", len(c.SeamSecrets) > 0),
		slog.Duration("retry_base", c.RetryBase), slog.Duration("sweep_interval", c.SweepInterval),
		slog.String("drift", string(c.Drift)),
		slog.Duration("due_within", c.DueWithin), slog.Int("workers", c.Workers), slog.Bool("dev", c.Dev),
	)
}

func maskDSN(dsn string) string {
	parsed, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%s@%s:%d/%s", parsed.ConnConfig.User, parsed.ConnConfig.Host, parsed.ConnConfig.Port,
		parsed.ConnConfig.Database)
}
