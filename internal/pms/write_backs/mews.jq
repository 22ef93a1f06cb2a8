module {
  "about": "Mews, Connector API: official documentation. staykey keeps one note of its own on the reservation, which begins with [staykey].",
  "quality": "documented",
  "account": {"url": "https://api.mews.com/api/connector/v1", "auth": "body", "per_second": 2, "limits": [{"requests": 200, "seconds": 30}]},
  "field": "note",
  "fields": {"note": {}},
  "read_first": true, "read_back": true,
  "calls": {
    "read": {"method": "POST", "path": "/serviceOrderNotes/getAll"},
    "add": {"method": "POST", "path": "/serviceOrderNotes/add"},
    "update": {"method": "POST", "path": "/serviceOrderNotes/update"},
    "delete": {"method": "POST", "path": "/serviceOrderNotes/delete"}
  }
};

def mark: "[staykey] ";

def keys_of: .found | obj | .keys | list;

if .do == "read" then {call: "read", body: {ServiceOrderIds: [.id], Limitation: {Count: 1000}}}
elif .do == "find" then .answer | obj | .ServiceOrderNotes | select(type == "array")
  | map(select(type == "object" and (.Text | str | startswith(mark)))) | {text: (.[0].Text // "" | ltrimstr(mark)), keys: map(.Id)}
elif .do == "write" then (mark + .text) as $text | keys_of as $keys
  | if $keys == [] then {call: "add", body: {ServiceOrderNotes: [{ServiceOrderId: .id, Text: $text}]}}
    else {call: "update", body: {ServiceOrderNoteUpdates: [{ServiceOrderNoteId: $keys[0], Text: {Value: $text}}]}} end
else keys_of as $keys | select($keys != []) | {call: "delete", body: {ServiceOrderNoteIds: $keys}} end
