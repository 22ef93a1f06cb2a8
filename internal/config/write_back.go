package config

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// accountKeys are those that give write-back an account of its own; without one it uses that of the source's fetch
// block.
var accountKeys = []string{"token", "username", "password", "client_id", "client_secret", "body"}

// writeBack reads what a source writes into its PMS.
func (r sourceReader) writeBack(source pms.Source) *pms.WriteBackSettings {
	m, ok := r.inner("write_back")
	if !ok {
		return nil
	}
	defer m.done()
	set := &pms.WriteBackSettings{Field: m.text("field"), Clear: m.flag("clear"), Text: m.writtenText(source)}

	name := m.text("to")
	if strings.HasSuffix(name, ".jq") && !filepath.IsAbs(name) {
		name = filepath.Join(r.dir, name)
	}
	preset, err := pms.LoadWriteBack(name)
	if err != nil {
		m.wrong("to", "%v", err)
		m.account(pms.AccountManifest{}, name) // its keys are known, whatever preset is meant
		return nil
	}

	set.Preset = preset
	if set.Field == "" {
		set.Field = preset.Field
	}

	if _, known := preset.Rules(set.Field); !known {
		m.wrong("field", "%q is not a field that %s can write: it must be one of %s", set.Field, preset.Name,
			preset.FieldNames())
	}

	set.With = m.writeBackWith(preset)
	set.Account = m.writeBackAccount(preset, source)
	return set
}

// writtenText reads the program that makes the text; nil for the guest's link.
func (m mapping) writtenText(source pms.Source) *pms.TextProgram {
	program := m.text("text")
	if program == "" {
		if !source.GuestLinks {
			m.wrong("to", "there is nothing to write: set guest_links: true on the source, or text, a jq program over the reservation")
		}
		return nil
	}
	text, err := pms.ParseText(program)
	if err != nil {
		m.wrong("text", "%v", err)
	}
	return text
}

// writeBackWith reads a preset's own settings.
func (m mapping) writeBackWith(preset *pms.WriteBack) map[string]string {
	if len(preset.With) == 0 {
		return nil
	}
	with := map[string]string{}
	for _, name := range preset.With {
		if with[name] = m.text(name); with[name] == "" {
			m.wrong(name, "is required by %s", preset.Name)
		}
	}
	return with
}

// writeBackAccount reads the account.
func (m mapping) writeBackAccount(preset *pms.WriteBack, source pms.Source) pms.Account {
	if slices.ContainsFunc(accountKeys, m.has) {
		manifest := preset.Account
		if manifest.Auth == pms.AuthBearer && m.has("username") && m.has("password") {
			manifest.Auth = pms.AuthBasic // a personal token instead of an application's
		}
		return m.account(manifest, preset.Name+" is written to")
	}
	if source.Fetch == nil {
		m.wrong("to", "no account: write the account's keys here as in fetch, or add a fetch block to the source")
		return pms.Account{}
	}
	// One account has one pace: what fetches documents keeps the PMS's limits too.
	source.Fetch.Limits, source.Fetch.AtOnce = preset.Account.Limits, preset.Account.AtOnce
	account := source.Fetch.Account()
	if address := m.text("url"); address != "" {
		if err := pms.CheckFetchURL(address); err != nil {
			m.wrong("url", "%q %v", address, err)
		}
		account.URL = address
	}
	return account
}
