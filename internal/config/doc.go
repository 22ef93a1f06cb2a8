// Package config reads the configuration: environment variables, the config file and files of secrets. Nothing else
// reads the environment.
//
// [Settings] are the settings as given, as texts, so that [Settings.Load] can report all problems at once, each with
// the setting, the value and the fix. The result, [Config], is what the rest of the program reads. [Config.Reload]
// reads again what may change while the service runs: sources, subscriptions, tokens and secrets.
//
//	config.go            settings, and the configuration that they become
//	load.go, reload.go   reads and checks them, with their defaults and limits; reads them again
//	yamlfile.go          the config file: every problem with its line and column, unknown fields refused; yamlfields.go
//	                     reads values
//	sources.go           a source of the file: its format and verifier; source_policy.go, gates.go, guest_links.go and
//	                     write_back.go read its parts
//	subscriptions.go     subscriptions of the file
//	tokens.go            admin tokens; sign_in.go: the identity provider, and the roles of its groups
//	secrets.go           well-known secrets of development, and where they are refused; redact.go keeps secrets out of
//	                     logs; tls.go reads the certificate
//	commands.go          the settings of commands other than serve
//
// docs/configuration.md is the reference.
package config
