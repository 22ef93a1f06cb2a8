module {
  "about": "Apaleo: official documentation (apaleo.dev). Reservations are fetched.",
  "id": "id",
  "type": ["topic", "type"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://api.apaleo.com", "auth": "oauth2", "token_url": "https://identity.apaleo.com/connect/token", "per_second": 5,
    "documents": {"reservation": {"path": "/booking/v1/reservations/{id}", "modified": "modified"}}
  }
};

def classes: {"Confirmed": "confirmed", "InHouse": "checked_in", "CheckedOut": "checked_out", "Canceled": "cancelled", "NoShow": "no_show"};

if .fetched.reservation then .fetched.reservation[] | {reservation: {
    reservation_id: .id,
    listing_id: (.unit.id // ((.assignedUnits // [])[0].unit.id)),
    status: (.status | class_by(classes)),
    pms_status: .status,
    guest_email: .primaryGuest.email,
    guest_name: name_of(.primaryGuest.firstName, .primaryGuest.lastName),
    guest_phone: .primaryGuest.phone,
    guests: [(.additionalGuests // [])[] | {guest_email: .email, guest_name: name_of(.firstName, .lastName), guest_phone: .phone}],
    check_in: .arrival,
    check_out: .departure,
    version: .modified
  }}
else .body
  | if (.topic // "" | ascii_downcase) == "system" then {ping: true}
    elif (.topic // "" | ascii_downcase) != "reservation" then {ignore: "\(.topic) is about nothing that a key depends on"}
    elif (.type | IN("canceled", "deleted", "set-to-no-show", "checked-out")) then
      # What takes a key away needs no more than the id.
      {reservation: {reservation_id: .data.entityId, version: .timestamp, pms_status: .type,
        status: ({"canceled": "cancelled", "deleted": "cancelled", "set-to-no-show": "no_show", "checked-out": "checked_out"}[.type])}}
    else {fetch: {kind: "reservation", id: .data.entityId, as_of: .timestamp}} end
end
