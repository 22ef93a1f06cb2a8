module {
  "about": "Apaleo: the official generated client (apaleo/oss-traces). It has no field for keys: the reservation's comments are people's as well.",
  "quality": "documented",
  "account": {"url": "https://api.apaleo.com", "auth": "oauth2", "token_url": "https://identity.apaleo.com/connect/token", "per_second": 5},
  "field": "comment",
  "fields": {"comment": {"shared": true}, "guestComment": {"shared": true}},
  "read_back": true,
  "calls": {
    "read": {"path": "/booking/v1/reservations/{id}"},
    "change": {"method": "PATCH", "path": "/booking/v1/reservations/{id}"}
  }
};

if .do == "read" then {call: "read"}
# Fields without a value are left out.
elif .do == "find" then .field as $field | .answer | obj | select(.id | id != null) | {text: (.[$field] | str)}
elif .do == "write" then {call: "change", body: [{op: "add", path: "/\(.field)", value: .text}]}
else {call: "change", body: [{op: "remove", path: "/\(.field)"}]} end
