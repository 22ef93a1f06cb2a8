package lang

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/goccy/go-yaml"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// Catalog is the translations into one language.
type Catalog struct {
	Tag        language.Tag
	categories []plural.Form
	entries    map[Text][]string // by English text; one form for each category of [Catalog.Categories]
	foreign    map[string][]shape
	locales    sync.Map // from style to *Locale
}

// English is the catalog of the language that texts are written in.
var English = newCatalog(language.English)

// categories are the plural categories of CLDR, in the order in which entries have them.
var categories = []plural.Form{plural.Zero, plural.One, plural.Two, plural.Few, plural.Many, plural.Other}

// ReadCatalog reads the translations into a language: a YAML mapping from English texts to translations. The forms of
// a text with a plural are separated by |, in the order of CLDR's categories that the language has (zero, one, two,
// few, many, other). The texts among foreign that have a translation are those that [Locale.Foreign] knows.
func ReadCatalog(tag language.Tag, file []byte, foreign []Text) (*Catalog, error) {
	read := map[Text]string{}
	if err := yaml.UnmarshalWithOptions(file, &read, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("catalog %s: %w", tag, err)
	}
	c := newCatalog(tag)
	for text, translation := range read {
		forms := []string{translation}
		if len(text.Forms()) > 1 {
			forms = strings.Split(translation, "|")
		}
		c.entries[text] = forms
	}
	c.foreign = shapesOf(foreign, c.entries)
	return c, nil
}

func newCatalog(tag language.Tag) *Catalog {
	c := &Catalog{Tag: tag, entries: map[Text][]string{}}
	for _, category := range categories {
		// CLDR's rules look at the last two digits, and at small numbers: all categories show among these. Catalogs of
		// languages with a category of millions have no texts that count so far.
		for n := range 201 {
			if c.category(n) == category {
				c.categories = append(c.categories, category)
				break
			}
		}
	}
	return c
}

// Texts are the English texts that the catalog translates, in the order of the alphabet.
func (c *Catalog) Texts() []Text {
	texts := make([]Text, 0, len(c.entries))
	for text := range c.entries {
		texts = append(texts, text)
	}
	slices.Sort(texts)
	return texts
}

// Forms are the translations of a text; none if it has no entry.
func (c *Catalog) Forms(t Text) []string { return c.entries[t] }

// Categories are the plural categories that whole numbers have in the language, in the order of the forms.
func (c *Catalog) Categories() []plural.Form { return c.categories }

func (c *Catalog) category(n int) plural.Form {
	return plural.Cardinal.MatchPlural(c.Tag, max(n, -n), 0, 0, 0, 0)
}

// pluralForm is which form of a text a number takes.
func (c *Catalog) pluralForm(n int) int { return max(slices.Index(c.categories, c.category(n)), 0) }
