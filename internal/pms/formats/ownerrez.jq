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

def classes: {"active": "confirmed", "canceled": "cancelled", "cancelled": "cancelled", "pending": "pending"};

def default_first: list | map(select(type == "object")) | (map(select(.is_default | is_true)) + .) | .[0] // {};

((.fetched.guest | list | .[0]) | obj) as $guest
| (.fetched == null) as $unfetched
| .body | obj
| (.action | word) as $action
| (.entity_type | word) as $about
| (.entity | obj) as $r
| (($r.guest_id // ($r.guest | obj | .id)) | id) as $guest_id
| ($r.status | class_by(classes)) as $class
| if $action == "webhook_test" then {ping: true}
  elif $action == "application_authorization_revoked" then {disconnected: "the owner has revoked this application at OwnerRez"}
  elif $about == "guest" and ($action | IN("entity_create", "entity_update")) then
    # The webhook doesn't have the guest's addresses.
    if $unfetched then {fetch: {kind: "guest", id: (.entity_id | id)}}
    else {guest: {guest_id: (.entity_id | id), guest_email: ($guest.email_addresses | default_first.address), guest_name: name_of($guest.first_name, $guest.last_name),
      guest_phone: ($guest.phones | default_first.number)}} end
  elif $about != "booking" then {ignore: "\(.entity_type) is about nothing that a key depends on"}
  elif $action == "entity_delete" then {reservation: {reservation_id: (.entity_id | id), status: "cancelled", pms_status: "deleted"}}
  elif $class != "cancelled" and (($r.is_block | is_true) or ($r.type | word) == "block") then
    {reservation: {reservation_id: (.entity_id | id), status: "block", pms_status: "block", version: ($r.updated_utc // $r.created_utc)}}
  # Everything but the address is in the webhook: if the guest can't be fetched, only that is missing.
  elif $unfetched and $class == "confirmed" and ($guest_id | type) == "string" then {fetch: {kind: "guest", id: $guest_id, reservation_id: (.entity_id | id), optional: true}}
  else {reservation: ({
    reservation_id: (.entity_id | id),
    listing_id: ($r.property_id // ($r.property | obj | .id) | room),
    status: $class,
    pms_status: $r.status,
    guest_id: $guest_id,
    guest_email: ($guest.email_addresses | default_first.address),
    guest_name: ($r.guest | obj | name_of(.first_name, .last_name)),
    guest_phone: ($guest.phones | default_first.number),
    check_in: local($r.arrival; $r.check_in),
    check_out: local($r.departure; $r.check_out),
    gates: {paid: ($r.total_owed | gate_of_balance)},
    version: ($r.updated_utc // $r.created_utc)
  } | keeps_room)} end
