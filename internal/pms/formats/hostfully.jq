module {
  "about": "Hostfully: official list of events and fields (dev.hostfully.com). Leads are fetched.",
  "accepts": ["json", "form"],
  "type": ["event_type"],
  "verify": {"method": "url-token"},
  "fetch": {
    "url": "https://platform.hostfully.com/api/v3", "auth": "header", "header": "X-HOSTFULLY-APIKEY", "per_second": 2,
    "documents": {"lead": {"path": "/leads/{id}", "modified": "lead.updatedUtcDateTime"}}
  }
};

def class: if test("^(BOOKED|PAID_IN_FULL|STAY)") then "confirmed"
  elif IN("CANCELLED", "CANCELLED_BY_TRAVELER", "CANCELLED_BY_OWNER", "DECLINED", "CLOSED", "IGNORED") then "cancelled"
  elif IN("PENDING", "ON_HOLD") then "pending"
  elif . == "NEW" then "inquiry" else "other" end;

if .fetched.lead then .fetched.lead[] | (.lead // .)
  | if .type == "BLOCK" then {ignore: "a block of the calendar, not a stay"}
    elif .type != "BOOKING" then {ignore: "an inquiry, not a stay"}
    else {reservation: {
      reservation_id: .uid,
      listing_id: .propertyUid,
      status: ((.status // "") | class),
      pms_status: .status,
      guest_email: .guestInformation.email,
      guest_name: name_of(.guestInformation.firstName, .guestInformation.lastName),
      guest_phone: .guestInformation.phoneNumber,
      check_in: (.checkInLocalDateTime // null),
      check_out: (.checkOutLocalDateTime // null),
      version: .updatedUtcDateTime
    } | if .listing_id == null then del(.listing_id) else . end}
    end
else .body
  | .event_type as $event
  | if ($event | IN("NEW_BOOKING", "BOOKING_UPDATED", "UNIT_CHANGED", "NEW_BOOKING_REQUEST")) then {fetch: {kind: "lead", id: .lead_uid}}
    elif $event == "BOOKING_CANCELLED" then {reservation: {reservation_id: .lead_uid, status: "cancelled", pms_status: $event}}
    elif $event == "DELETED_PROPERTY" then {listing: {listing_id: .property_uid, deleted: true}}
    else {ignore: "\($event) is about nothing that a key depends on"} end
end
