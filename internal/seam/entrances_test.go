package seam

import (
	"encoding/json"
	"testing"
)

// What an answer doesn't say is not known, and is neither good nor bad.
func TestWhatEntrancesSay(t *testing.T) {
	t.Parallel()
	salto := func(fields string) string { return `{"salto_ks_metadata": {` + fields + `}}` }
	battery := func(level string) string { return salto(`"battery_level": ` + level) }
	good := `{"salto_ks_metadata": {"online": true, "privacy_mode": false, "battery_level": "fresh"},` +
		`"can_unlock_with_mobile_key": true}`
	bad := `{"salto_ks_metadata": {"online": false, "privacy_mode": true, "battery_level": "LOW"},` +
		`"can_unlock_with_mobile_key": false}`
	const nothing = "? ? ? ?"
	// offline, battery low, privacy mode, mobile keys
	for body, want := range map[string]string{
		// Nothing is reported.
		`{}`: nothing,
		`{"salto_ks_metadata": null, "warnings": null, "can_unlock_with_mobile_key": null}`: nothing,
		salto(`"online": null, "privacy_mode": null, "battery_level": null`):                nothing,

		// Everything is reported.
		good: "no no no yes",
		bad:  "yes yes yes no",

		// The privacy mode, as a warning or a field.
		`{"warnings": [{"warning_code": "salto_ks_privacy_mode"}]}`:                               "? ? yes ?",
		`{"warnings": [{"warning_code": "privacy_mode"}], "salto_ks_metadata": {"online": true}}`: "no ? yes ?",
		`{"warnings": [{"warning_code": "entrance_shares_zone"}]}`:                                nothing,
		salto(`"privacy_mode": false`):                                                            "? ? no ?",

		// The battery: a word, a percentage, or a fraction. 1 may be either.
		battery(`"very low"`): "? yes ? ?",
		battery(`"80"`):       "? no ? ?",
		battery(`"15 %"`):     "? yes ? ?",
		battery(`"1%"`):       "? yes ? ?",
		battery(`"0.85"`):     "? no ? ?",
		battery(`"1.0"`):      "? no ? ?",
		battery(`"0.1"`):      "? yes ? ?",
		battery(`"1"`):        nothing,
		battery(`"NaN"`):      nothing,
		battery(`"-5"`):       nothing,
		battery(`"amber"`):    nothing,
	} {
		var e Entrance
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Fatal(err)
		}
		got := word(e.Offline()) + " " + word(e.BatteryLow()) + " " + word(e.PrivacyMode()) + " " +
			word(e.CanUseMobileKey)
		if got != want {
			t.Errorf("%s says %q, want %q", body, got, want)
		}
	}
}

func word(b *bool) string {
	switch {
	case b == nil:
		return "?"
	case *b:
		return "yes"
	}
	return "no"
}
