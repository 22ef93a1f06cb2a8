module {
  "about": "Beds24: official schema of its API V2. Templates show the item with [BOOKINGINFOCODETEXT:STAYKEY].",
  "quality": "documented",
  "account": {
    "url": "https://beds24.com/api/v2", "auth": "header", "header": "token",
    "per_second": 1, "limits": [{"requests": 100, "seconds": 300}], "at_once": 1
  },
  "field": "STAYKEY",
  "fields": {"*": {}},
  "read_first": true, "read_back": true,
  "calls": {
    "read": {"path": "/bookings?id={id}&includeInfoItems=true&status=confirmed&status=request&status=new&status=cancelled&status=black&status=inquiry"},
    "change": {"method": "POST", "path": "/bookings"}
  }
};

def change(items): {call: "change", body: [{id: (.id | tonumber), infoItems: items}]};

if .do == "read" then {call: "read"}
elif .do == "find" and .call == "read" then .field as $field
  # A booking that the answer lacks, or whose items it leaves out, shows nothing.
  | .answer | obj | .data | list | .[0] | obj | .infoItems | select(type == "array")
  | map(select(type == "object" and .code == $field)) | {text: (.[0].text // "" | str), keys: map(.id | values)}
# The answer to a change of one item proves nothing about the others: the field is read back.
elif .do == "find" then if [.answer | list[] | obj | select(.success == false)] != [] then {refused: true} else empty end
# An item's id changes it, and its id alone deletes it. Of several with our code, which a lost answer may leave, one stays.
elif .do == "write" then .text as $text | .field as $field | (.found | obj | .keys | list) as $keys
  | change([{code: $field, text: $text} + (if $keys == [] then {} else {id: $keys[0]} end)] + ($keys[1:] | map({id: .})))
else (.found | obj | .keys | list) as $keys | select($keys != []) | change($keys | map({id: .})) end
