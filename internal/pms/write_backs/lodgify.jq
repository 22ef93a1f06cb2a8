module {
  "about": "Lodgify, key codes of a booking: three sources, three bodies. field chooses one: key_codes is the likeliest, keyCodes is another. Try it on one booking.",
  "quality": "unconfirmed",
  "account": {"url": "https://api.lodgify.com", "auth": "header", "header": "X-ApiKey", "per_second": 1, "limits": [{"requests": 100, "seconds": 60}]},
  "field": "key_codes",
  "fields": {"key_codes": {"one_line": true}, "keyCodes": {"one_line": true}},
  "calls": {"change": {"method": "PUT", "path": "/v2/reservations/bookings/{id}/keyCodes"}}
};

if .do == "write" then {call: "change", body: {(.field): [.text]}}
elif .do == "clear" then {call: "change", body: {(.field): []}}
else empty end
