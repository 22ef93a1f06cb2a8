package config

import (
	"encoding/base64"
	"mime"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/staykey/staykey/internal/pms"
)

// maxLogo is how large an operator's logo may be: it is part of every page.
const maxLogo = 64 << 10

var pageColor = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// guestLinks reads what a source says of its guests' links, and whose user identities its stays have.
func (r sourceReader) guestLinks(s *pms.Source) {
	s.GuestLinks, s.Policy.BackupCode = r.flag("guest_links"), r.flag("backup_code")
	switch identity := r.text("identity"); identity {
	case "":
		s.Policy.OwnIdentity = s.GuestLinks || len(s.Policy.Gates) > 0
	case "per_stay":
		s.Policy.OwnIdentity = true
	case "per_guest":
		if len(s.Policy.Gates) > 0 {
			r.wrong("identity", "per_guest can't be combined with gates: the guest's other stays would hand out a withheld key; omit identity, or set per_stay")
		} else if s.GuestLinks {
			r.wrong("identity", "per_guest can't be combined with guest_links: a link would show keys of other stays; omit identity, or set per_stay")
		}
	default:
		r.wrong("identity", "%q must be per_guest or per_stay", identity)
	}
	page, ok := r.inner("guest_page")
	if !ok {
		return
	}
	s.GuestPage = pms.GuestPage{
		Name: page.short("name", 80), Contact: page.short("contact", 200), Address: page.short("address", 300),
		Color: page.text("color"), Logo: r.logo(page),
	}
	if s.GuestPage.Color != "" && !pageColor.MatchString(s.GuestPage.Color) {
		page.wrong("color", "%q must be a color such as #0a6e5c", s.GuestPage.Color)
	}
	if addresses, ok := page.inner("addresses"); ok {
		s.GuestPage.Addresses = map[string]string{}
		for _, key := range addresses.keys {
			id := key.GetToken().Value
			s.GuestPage.Addresses[id] = addresses.short(id, 300)
		}
	}
	page.done()
}

// short is a text that fits on a page.
func (m mapping) short(field string, most int) string {
	text := m.text(field)
	if len([]rune(text)) > most {
		m.wrong(field, "must be at most %d characters", most)
	}
	return text
}

// logo reads the picture that the page shows, as a data: URL, so that opening the page asks nobody else for anything.
func (r sourceReader) logo(page mapping) string {
	file := page.text("logo")
	if file == "" {
		return ""
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(r.dir, file)
	}
	kind := mime.TypeByExtension(strings.ToLower(filepath.Ext(file)))
	if !slices.Contains([]string{"image/png", "image/jpeg", "image/svg+xml", "image/webp"}, kind) {
		page.wrong("logo", "%q must be a file that ends in .svg, .png, .jpg or .webp", file)
		return ""
	}
	content, err := os.ReadFile(file) // #nosec G304 -- the operator names it
	if err != nil {
		page.wrong("logo", "%v: it must name a readable file", err)
		return ""
	}
	if len(content) > maxLogo {
		page.wrong("logo", "%q has %d bytes, at most %d are taken: make the picture smaller", file,
			len(content), maxLogo)
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(content)
}

// NeedURLs refuses links that nobody could open, and an identity provider that couldn't send anybody back.
func (s Set) NeedURLs(publicURL, adminURL string, problems *Problems) {
	if s.SignIn != nil && adminURL == "" {
		problems.add("STAYKEY_PUBLIC_URL",
			"is required, because the config file has sign_in: the URL where browsers reach the public listener, "+
				"such as https://keys.example.com; if the page has a host of its own, set STAYKEY_ADMIN_URL too")
	}
	if publicURL != "" {
		return
	}
	var with []string
	for name, source := range s.Sources {
		if source.GuestLinks {
			with = append(with, name)
		}
	}
	if slices.Sort(with); len(with) > 0 {
		problems.add("STAYKEY_PUBLIC_URL",
			"is required for guest_links of source %s: where guests reach the public listener, such as https://keys.example.com", strings.Join(with, ", "))
	}
}
