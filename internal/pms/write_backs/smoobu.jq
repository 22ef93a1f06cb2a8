module {
  "about": "Smoobu: a mirror of its documentation, and public code for the signature of requests. The notes of a booking are people's as well.",
  "quality": "derived",
  "account": {"url": "https://login.smoobu.com/api", "auth": "smoobu", "per_second": 5, "limits": [{"requests": 1000, "seconds": 60}]},
  "field": "assistantNotice",
  "fields": {"assistantNotice": {"shared": true}, "notice": {"shared": true}},
  "read_back": true,
  "calls": {
    "read": {"path": "/reservations/{id}"},
    "change": {"method": "PUT", "path": "/reservations/{id}"}
  }
};

# A booking is read with dashes in its names, and written without.
def name: {"assistantNotice": "assistant-notice"}[.field] // .field;

if .do == "read" then {call: "read"}
elif .do == "find" then name as $name | .answer | obj | select(has($name)) | {text: (.[$name] | str)}
elif .do == "write" then {call: "change", body: {(.field): .text}}
else {call: "change", body: {(.field): ""}} end
