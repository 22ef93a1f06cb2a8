module {
  "about": "OwnerRez, API v2 webhooks: official documentation and captured payloads. The guest's e-mail address is fetched.",
  "id": "id",
  "type": ["action", "entity_type"],
  "verify": {"method": "basic"},
  "fetch": {
    "url": "https://api.ownerrez.com/v2", "auth": "bearer", "per_second": 2,
    "documents": {"guest": {"path": "/guests/{id}"}}
  }
};

def classes: {"active": "confirmed", "canceled": "cancelled", "pending": "pending"};

def default_first(list): ((list // []) | map(select(.is_default))) + (list // []) | .[0];

(((.fetched.guest // [])[0]) // {}) as $guest
| (.fetched == null) as $unfetched
| .body
| (.entity // {}) as $r
| if .action == "webhook_test" then {ping: true}
  elif .action == "application_authorization_revoked" then {disconnected: "the owner has revoked this application at OwnerRez"}
  elif .entity_type != "booking" then {ignore: "\(.entity_type) is about nothing that a key depends on"}
  elif .action == "entity_delete" then {reservation: {reservation_id: (.entity_id | id), status: "cancelled", pms_status: "deleted"}}
  elif $r.is_block == true or $r.type == "block" then {ignore: "a block of the calendar, not a stay"}
  elif $unfetched and $r.status == "active" and $r.guest_id != null then {fetch: {kind: "guest", id: $r.guest_id}}
  else {reservation: {
    reservation_id: (.entity_id | id),
    listing_id: ($r.property_id | id),
    status: ($r.status | class_by(classes)),
    pms_status: $r.status,
    guest_id: ($r.guest_id | id),
    guest_email: default_first($guest.email_addresses).address,
    guest_name: name_of($r.guest.first_name, $r.guest.last_name),
    guest_phone: default_first($guest.phones).number,
    check_in: local($r.arrival; $r.check_in),
    check_out: local($r.departure; $r.check_out),
    version: ($r.updated_utc // $r.created_utc)
  } | if .listing_id == null then del(.listing_id) else . end} end
