module {
  "about": "Hostfully API v3, custom data of leads: official documentation of the routes (dev.hostfully.com), and public code for the names in bodies. POST adds or updates. field is the uid of the custom data field.",
  "quality": "derived",
  "account": {"url": "https://platform.hostfully.com/api/v3", "auth": "header", "header": "X-HOSTFULLY-APIKEY", "per_second": 2},
  "fields": {"*": {"longest": 255}},
  "read_back": true,
  "calls": {
    "read": {"path": "/custom-data?leadUid={id}"},
    "change": {"method": "POST", "path": "/custom-data"},
    "delete": {"method": "DELETE", "path": "/custom-data?leadUid={id}&customDataFieldUid={field}"}
  }
};

# Custom data of the lead's property has the same form, and is not the booking's.
def of_lead($id): .leadUid == $id or (.leadUid == null and .propertyUid == null);

if .do == "read" then {call: "read"}
elif .do == "find" and .call == "read" then .field as $field | .id as $id
  | .answer | (if type == "object" then .customData else . end) | select(type == "array")
  | first(.[] | obj | select((.customDataField | obj | .uid) == $field and of_lead($id)) | {text: (.text | str)}) // {text: ""}
elif .do == "find" then empty
elif .do == "write" then {call: "change", body: {leadUid: .id, customDataFieldUid: .field, text: .text}}
elif .found.text == "" then empty
else {call: "delete"} end
